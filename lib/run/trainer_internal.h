/* The training loop: from a state to the end of the run, commit point by commit point. */
#ifndef FX_RUN_TRAINER_INTERNAL_H
#define FX_RUN_TRAINER_INTERNAL_H

#include "config/schedule.h"
#include "run/data_loader_internal.h"
#include "run/evaluate.h"
#include "run/history_internal.h"
#include "run/progress.h"
#include "run/rundir_internal.h"

/* A step in flight: the back end has its update, and its end is not known yet. */
struct fx_step_in_flight {
    int64_t n_micro; /* batches */
    double lr[FX_N_GROUPS];
};

/* Everything the loop works on.  Pointers are borrowed from run.c. */
struct fx_trainer {
    const struct fx_settings *settings;
    const struct fx_dataset *dataset;
    struct fx_engine *engine;
    struct fx_data_loader *loader;
    struct fx_history *history;
    struct fx_saver saver;
    struct fx_schedule schedule;
    struct fx_subset val, test;
    struct fx_progress progress;

    struct fx_state state; /* committed: what a checkpoint written now would say */
    struct fx_best best;   /* of the run so far; ahead of state.best at the end of --steps only */
    bool is_dirty;         /* the state has moved since last.safetensors was written */
    struct fx_step_in_flight in_flight[2]; /* in order; two where the back end runs ahead */
    int n_in_flight;     /* not 0: the parameters are not those of the state, never save them */
    bool is_unrecorded;  /* a step is over that the history does not have: no other is committed */
    int64_t n_batches;   /* of an epoch */
    double save_seconds; /* between two checkpoints, at most */
    double saved_at;     /* fx_seconds of the last one */
    double epoch_start;  /* fx_seconds, moved back by what earlier processes took */
    double seconds_before; /* of the run, in earlier processes */
};

/* fx_trainer_step: one optimiser step: `accumulate` micro-batches, then the commit.  FX_ESTOPPED
 * abandons it without a trace, FX_EDIVERGED leaves the state of the step before.  Where the back
 * end runs ahead the next step is in flight when this one is committed, unless the run is to be
 * saved or stopped between them. */
enum fx_status fx_trainer_step(struct fx_trainer *trainer, struct fx_err *err) FX_MUST_CHECK;

/* fx_trainer_finish_steps: waits for the steps in flight, and commits them. */
enum fx_status fx_trainer_finish_steps(struct fx_trainer *trainer,
                                       struct fx_err *err) FX_MUST_CHECK;

/* fx_trainer_save_is_due: the last checkpoint is old enough. */
bool fx_trainer_save_is_due(const struct fx_trainer *trainer);

/* fx_trainer_emit: records a line of metrics, and says it on stdout.  Frees line. */
enum fx_status fx_trainer_emit(struct fx_trainer *trainer, char *line,
                               struct fx_err *err) FX_MUST_CHECK;

/* fx_trainer_save: history and last.safetensors agree on the disk afterwards. */
enum fx_status fx_trainer_save(struct fx_trainer *trainer, struct fx_err *err) FX_MUST_CHECK;

/* fx_trainer_is_finished: the state is where --epochs, --steps or --patience ends the run. */
bool fx_trainer_is_finished(const struct fx_settings *settings, const struct fx_state *state);

/* fx_trainer_loop: trains and validates until the run is finished. */
enum fx_status fx_trainer_loop(struct fx_trainer *trainer, struct fx_err *err) FX_MUST_CHECK;

#endif
