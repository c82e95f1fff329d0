/* A training run from start to end: shared by fusion-train and expert-train. */
#ifndef FX_RUN_RUN_H
#define FX_RUN_RUN_H

#include "checkpoint/checkpoint.h"
#include "config/train_options.h"
#include "run/engine.h"
#include "run/evaluate.h"

/* The plan of a run: settings, model and images; everything borrowed. */
struct fx_run_plan {
    const struct fx_settings *settings; /* complete */
    const struct fx_dataset *dataset;
    const struct fx_graph *graph;
    struct fx_index_list images; /* numbers to train on, sorted */
    struct fx_subset val, test;
    /* Initial values of a fresh run, checked; fx_train closes it once the engine has them.  An
     * empty set: everything from the seed. */
    struct fx_tensor_file *initial;
};

/* fx_train: trains, or resumes, until the run is finished; writes the metrics to the output of the
 * options or to stdout.  After a signal (fx_stop_catch) it saves the state and returns FX_ESTOPPED;
 * when training diverges it saves the state and returns FX_EDIVERGED. */
enum fx_status fx_train(const struct fx_run_plan *plan, const struct fx_run_options *options,
                        struct fx_err *err) FX_MUST_CHECK;

/* "back ends: ref cpu", for --version. */
const char *fx_train_built_with(void);

/* Logs time and peak memory; the last line of a run's log. */
void fx_log_usage(double seconds);

#endif
