/* A training run from its parts to its last line: what fusion-train and expert-train share. */
#ifndef FX_TRAIN_RUN_H
#define FX_TRAIN_RUN_H

#include "train/engine.h"
#include "train/evaluate.h"
#include "train/settings.h"
#include "train/stream.h"

/* Where and how to run; none of it decides the result.  Strings are borrowed. */
struct fx_run_options {
    const char *checkpoint_dir;
    const char *device;
    const char *task;                /* NULL: none */
    const struct fx_output *metrics; /* borrowed: where they go; NULL: stdout */
    int64_t threads;                 /* 0: as many as the process may use */
    double checkpoint_minutes;
    bool resume;
};

/* What to train; everything borrowed. */
struct fx_run_plan {
    const struct fx_settings *settings; /* complete */
    const struct fx_dataset *dataset;
    const struct fx_graph *graph;
    struct fx_index_list images; /* numbers to train on, sorted */
    struct fx_part val, test;
    /* Initial values of a fresh run, checked; fx_run closes it once the engine has them.  An empty
     * set: everything from the seed. */
    struct fx_stream *initial;
};

/* fx_run: trains, or goes on training, until the run is finished; metrics on stdout, or where
 * the options say.  Returns
 * FX_ESTOPPED with the state on the disk when a signal asked (after fx_stop_catch), FX_EDIVERGED
 * likewise. */
enum fx_status fx_run(const struct fx_run_plan *plan, const struct fx_run_options *options,
                      struct fx_err *err) FX_MUST_CHECK;

#endif
