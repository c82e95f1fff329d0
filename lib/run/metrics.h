/* The events of a metrics stream, as fusion-metrics(5) specifies them. */
#ifndef FX_RUN_METRICS_H
#define FX_RUN_METRICS_H

#include "config/settings.h"
#include "run/assessment.h"
#include "run/evaluate.h"
#include "run/state.h"

#include <jansson.h>

/* Every function makes one line, ended by a newline and malloc'ed for the caller, in *line.
 * FX_EFAIL when memory is short. */

/* Members of the start event besides the settings. */
struct fx_start_facts {
    const char *task;   /* NULL: none */
    const char *device; /* "cpu", "cuda:1" */
    int threads;
    const struct fx_graph *graph;
    int64_t train_images, val_images, test_images, steps_per_epoch;
};
enum fx_status fx_metrics_start(const struct fx_settings *settings,
                                const struct fx_start_facts *facts, char **line,
                                struct fx_err *err) FX_MUST_CHECK;

/* The start of an evaluation: tool, arch, fusion, data_digest, precision and batch are set. */
enum fx_status fx_metrics_start_eval(const struct fx_settings *settings,
                                     const struct fx_start_facts *facts, char **line,
                                     struct fx_err *err) FX_MUST_CHECK;

struct fx_step_facts {
    int64_t epoch, step;
    double total, fused, individual, grad_norm, lr_experts, lr_fusion;
};
enum fx_status fx_metrics_step(const struct fx_step_facts *facts, char **line,
                               struct fx_err *err) FX_MUST_CHECK;

struct fx_epoch_facts {
    int64_t epoch, step;
    double alpha; /* of val_loss */
    struct fx_epoch_sums sums;
    const struct fx_measure *val;
    double lr[FX_N_GROUPS]; /* after the schedule's step */
    bool is_best;
    double images_per_second, seconds;
};
enum fx_status fx_metrics_epoch(const struct fx_epoch_facts *facts, char **line,
                                struct fx_err *err) FX_MUST_CHECK;

/* epoch >= 0: measured in a training run, after that many epochs; < 0: left out.
 *   assessment  NULL: there is none */
enum fx_status fx_metrics_eval(const struct fx_measure *measure, const char *split, int64_t epoch,
                               const struct fx_assessment *assessment, char **line,
                               struct fx_err *err) FX_MUST_CHECK;

struct fx_end_facts {
    const char *status;  /* "done", "stopped", "diverged", "failed" */
    const char *reason;  /* NULL when done */
    int64_t epoch, step; /* epoch < 0: no training */
    struct fx_best best;
    const struct fx_measure *test; /* NULL: not measured */
    double seconds;
};
enum fx_status fx_metrics_end(const struct fx_end_facts *facts, char **line,
                              struct fx_err *err) FX_MUST_CHECK;

#endif
