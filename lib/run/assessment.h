/* What a whole judgement comes to: the numbers beyond loss, accuracy and calibration error, which
 * every evaluation has (run/evaluate.h), and what they mean. */
#ifndef FX_RUN_ASSESSMENT_H
#define FX_RUN_ASSESSMENT_H

#include "run/judgement.h"
#include "score/interval.h"

#include <jansson.h>

/* One number of every head. */
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
    /* Of the fused head beyond the ensemble, in percent; where there is a fused head. */
    double gain, mcnemar;
    struct fx_interval gain_interval; /* where n_rounds > 0 */
    int64_t n_rounds, n_fitted;
};

struct fx_assess_options {
    const uint8_t *superclass; /* borrowed: of each class; NULL: there is one */
    int64_t n_rounds;          /* of the bootstrap; 0: no intervals */
    uint64_t seed;
    const struct fx_judgement *scaled; /* borrowed: the same with fitted temperatures, or NULL */
    int64_t n_fitted;                  /* images that they were fitted on */
};

enum fx_status fx_assess(const struct fx_judgement *judgement,
                         const struct fx_assess_options *options, struct fx_assessment *assessment,
                         struct fx_err *err) FX_MUST_CHECK;

/* fx_assessment_put: adds its members to an eval event (fusion-metrics(5)); false when memory is
 * short. */
bool fx_assessment_put(const struct fx_assessment *assessment, json_t *event);

/* fx_assessment_log: for people, what stands beside the accuracies: the gain over the ensemble, the
 * temperatures. */
void fx_assessment_log(const struct fx_assessment *assessment);

/* fx_heads_put: the members NAME, expert_NAME and ensemble_NAME of an event; values by fx_head_row,
 * what is not finite is null.  fx_heads_put_whole: of whole numbers. */
bool fx_heads_put(json_t *event, const char *name, const double *values, int n_experts,
                  bool has_fused);
bool fx_heads_put_whole(json_t *event, const char *name, const double *values, int n_experts,
                        bool has_fused);

#endif
