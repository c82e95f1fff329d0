/* The statistics of fusion-eval beyond loss, accuracy and calibration error (run/evaluate.h):
 * top-5, superclasses, Brier score, intervals, temperatures, disagreement, McNemar's test. */
#ifndef FX_RUN_ASSESSMENT_H
#define FX_RUN_ASSESSMENT_H

#include "run/judgement.h"
#include "score/interval.h"

#include <jansson.h>

/* The statistics that every head has. */
enum fx_facet {
    FX_FACET_TOP5,
    FX_FACET_SUPERCLASS, /* percent of images whose predicted class is in the label's superclass */
    FX_FACET_BRIER,
    FX_FACET_ECE_MASS,
    FX_FACET_ACCURACY_LOW,
    FX_FACET_ACCURACY_HIGH,
    FX_FACET_LOSS_LOW,
    FX_FACET_LOSS_HIGH,
    FX_FACET_TEMPERATURE,
    FX_FACET_SCALED_LOSS,
    FX_FACET_SCALED_BRIER,
    FX_FACET_SCALED_ECE,
    FX_FACET_SCALED_ECE_MASS,
    FX_N_FACETS
};

struct fx_assessment {
    int n_experts;
    bool has_fused;
    bool has[FX_N_FACETS];
    double facet[FX_N_FACETS][FX_HEADS_MAX]; /* by fx_head_row */
    double disagreement[FX_GRAPH_MAX_EXPERTS][FX_GRAPH_MAX_EXPERTS];
    /* With a fused head: its accuracy minus the ensemble's, in percent, and the test's p-value. */
    double gain, mcnemar;
    struct fx_interval gain_interval; /* where n_rounds > 0 */
    int64_t n_rounds, n_fitted;       /* as in the options */
};

struct fx_assess_options {
    const uint8_t *superclass; /* borrowed: of each class; NULL: not measured */
    int64_t n_rounds;          /* of the bootstrap; 0: no intervals */
    uint64_t seed;
    const struct fx_judgement *scaled; /* borrowed: the images at fitted temperatures, or NULL */
    int64_t n_fitted;                  /* images that they were fitted on */
};

/* fx_assess: fills *assessment; FX_EFAIL when memory is short. */
enum fx_status fx_assess(const struct fx_judgement *judgement,
                         const struct fx_assess_options *options, struct fx_assessment *assessment,
                         struct fx_err *err) FX_MUST_CHECK;

/* fx_assessment_put: adds its members to an eval event (fusion-metrics(5)); false when memory is
 * short. */
bool fx_assessment_put(const struct fx_assessment *assessment, json_t *event);

/* fx_assessment_log: logs the gain over the ensemble and the temperatures. */
void fx_assessment_log(const struct fx_assessment *assessment);

/* fx_heads_put: adds the members NAME, expert_NAME and ensemble_NAME to an event; values are
 * indexed by fx_head_row, non-finite ones become null.  fx_heads_put_whole: the same as integers.
 * False when memory is short. */
bool fx_heads_put(json_t *event, const char *name, const double *values, int n_experts,
                  bool has_fused);
bool fx_heads_put_whole(json_t *event, const char *name, const double *values, int n_experts,
                        bool has_fused);

#endif
