/* The phases of a training run, which run.c puts in order; used by the files run*.c only. */
#ifndef FX_RUN_PHASES_INTERNAL_H
#define FX_RUN_PHASES_INTERNAL_H

#include "run/run.h"
#include "run/trainer_internal.h"

#include <unistd.h>

/* Everything that fx_train opens and has to close. */
struct fx_training_run {
    const struct fx_run_plan *plan;
    const struct fx_run_options *options;
    struct fx_rundir rundir;
    struct fx_restored restored; /* open while resumed and not yet loaded */
    bool has_state;
    struct fx_engine engine;
    struct fx_data_loader *loader; /* owned */
    struct fx_history history;
    struct fx_trainer trainer;
    bool has_started; /* the start event is in the stream */
    double start;     /* fx_seconds */
};

/* Where the metrics go. */
static inline const struct fx_output *fx_run_metrics(const struct fx_training_run *run)
{
    static const struct fx_output to_stdout = { .fd = STDOUT_FILENO, .is_stdout = true };

    return run->options->metrics ? run->options->metrics : &to_stdout;
}

/* fx_run_resume: reads the state and replays the metrics that belong to it.  *ended: there is
 * nothing left to do. */
enum fx_status fx_run_resume(struct fx_training_run *run, bool *ended,
                             struct fx_err *err) FX_MUST_CHECK;

/* fx_run_repeat: the same for a run without a state: one that was finished, and made slim since,
 * repeats its metrics; else *ended stays as it is. */
enum fx_status fx_run_repeat(struct fx_training_run *run, bool *ended,
                             struct fx_err *err) FX_MUST_CHECK;

/* fx_run_begin: the start event of a fresh run, and the measurement before its first step. */
enum fx_status fx_run_begin(struct fx_training_run *run, struct fx_err *err) FX_MUST_CHECK;

/* fx_run_finish: measures the best checkpoint on the test images, the end event. */
enum fx_status fx_run_finish(struct fx_training_run *run, struct fx_err *err) FX_MUST_CHECK;

/* fx_run_tidy_up: removes the generations that a finished run kept for less.  The best before stays
 * where the state has one and best.safetensors is not the one that is meant but ahead, of a part of
 * an epoch: a longer run needs it. */
void fx_run_tidy_up(const struct fx_training_run *run, bool is_best_meant);

/* fx_run_end_early: saves what is committed and says why the stream ends here.  The reason of a
 * stop becomes the signal that asked for it. */
void fx_run_end_early(struct fx_training_run *run, enum fx_status why, struct fx_err *reason);

/* Batches of an epoch. */
static inline int64_t fx_run_n_batches(const struct fx_run_plan *plan)
{
    return (plan->images.n + plan->settings->batch - 1) / plan->settings->batch;
}

/* Optimiser steps of an epoch; the last one may take fewer batches than the others. */
static inline int64_t fx_run_steps_per_epoch(const struct fx_run_plan *plan)
{
    int64_t accumulate = plan->settings->accumulate;

    return (fx_run_n_batches(plan) + accumulate - 1) / accumulate;
}

#endif
