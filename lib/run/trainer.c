/* What the step, the loop and the ends of a run share: a line recorded, a state saved. */
#include "run/trainer_internal.h"

#include "base/clock.h"

#include <stdlib.h>

enum fx_status fx_trainer_emit(struct fx_trainer *trainer, char *line, struct fx_err *err)
{
    enum fx_status status = fx_history_record(trainer->history, line, err);

    if (status == FX_OK) {
        trainer->state.history_lines = trainer->history->n_lines;
        status = fx_history_say(trainer->history, line, err);
    }
    free(line);
    return status;
}

enum fx_status fx_trainer_save(struct fx_trainer *trainer, struct fx_err *err)
{
    double now = fx_seconds();

    FX_TRY(fx_history_sync(trainer->history, err));
    fx_rundir_clock_write(trainer->saver.rundir, trainer->state.step,
                          trainer->state.batch > 0 ? now - trainer->epoch_start : 0);
    FX_TRY(fx_save_last(&trainer->saver, &trainer->state, err));
    trainer->is_dirty = false;
    trainer->saved_at = fx_seconds();
    return FX_OK;
}

bool fx_trainer_save_is_due(const struct fx_trainer *trainer)
{
    return fx_seconds() - trainer->saved_at >= trainer->save_seconds;
}
