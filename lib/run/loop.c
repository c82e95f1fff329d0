/* Epochs: train, validate, keep the best, write the state. */
#include "run/trainer_internal.h"

#include "base/clock.h"
#include "base/stop.h"
#include "run/metrics.h"

#include <signal.h>
#include <stdlib.h>

static bool steps_are_done(const struct fx_settings *settings, const struct fx_state *state)
{
    return settings->steps > 0 && state->step >= settings->steps;
}

/* No gain for `patience` epochs; an expert that is still weak goes on nevertheless. */
static bool patience_is_over(const struct fx_settings *settings, const struct fx_state *state)
{
    return settings->patience > 0 && state->epochs_done > 0 &&
           state->epochs_done - state->best.epoch >= settings->patience &&
           state->best.accuracy > settings->patience_above;
}

bool fx_trainer_is_finished(const struct fx_settings *settings, const struct fx_state *state)
{
    return state->epochs_done >= settings->epochs || steps_are_done(settings, state) ||
           (state->batch == 0 && patience_is_over(settings, state));
}

/* ---- training -------------------------------------------------------------------------------- */

/* A consumer that has died is noticed here, not only at the next line. */
static enum fx_status check_stop(const struct fx_trainer *trainer, struct fx_err *err)
{
    if (fx_history_listener_is_gone(trainer->history))
        raise(SIGPIPE);
    if (fx_stop_requested())
        return fx_fail(err, FX_ESTOPPED, "stopped");
    return FX_OK;
}

static enum fx_status train_epoch(struct fx_trainer *trainer, struct fx_err *err)
{
    const struct fx_state *state = &trainer->state;

    if (state->batch < trainer->n_batches && !steps_are_done(trainer->settings, state))
        fx_data_loader_begin(trainer->loader, (uint32_t)state->epoch, state->batch);
    fx_progress_begin_epoch(&trainer->progress);
    while (state->batch < trainer->n_batches && !steps_are_done(trainer->settings, state)) {
        if (trainer->n_in_flight == 0)
            FX_TRY(check_stop(trainer, err));
        FX_TRY(fx_trainer_step(trainer, err));
        if (trainer->n_in_flight == 0 && fx_trainer_save_is_due(trainer))
            FX_TRY(fx_trainer_save(trainer, err));
    }
    return FX_OK;
}

/* ---- after the epoch ------------------------------------------------------------------------- */

static double decisive_accuracy(const struct fx_measure *measure)
{
    return measure->has_fused ? measure->fused.accuracy : measure->expert[0].accuracy;
}

/* Keeps the parameters when they are the best so far, ties go to the earlier epoch; or each time,
 * where the last epoch is wanted. */
static enum fx_status keep_best(struct fx_trainer *trainer, double accuracy, bool *is_best,
                                struct fx_err *err)
{
    struct fx_state next = trainer->state;

    *is_best = trainer->settings->choose == FX_CHOOSE_LAST || next.best.epoch == 0 ||
               accuracy > next.best.accuracy;
    trainer->best = next.best;
    if (!*is_best)
        return FX_OK;
    next.best = (struct fx_best){ .epoch = next.epoch, .step = next.step, .accuracy = accuracy };
    FX_TRY(fx_save_best(&trainer->saver, &next, err));
    trainer->best = next.best;
    return FX_OK;
}

static enum fx_status epoch_line(const struct fx_trainer *trainer, const struct fx_measure *val,
                                 bool is_best, char **line, struct fx_err *err)
{
    const struct fx_state *state = &trainer->state;
    double seconds = fx_seconds() - trainer->epoch_start;
    struct fx_epoch_facts facts = {
        .epoch = state->epoch,
        .step = state->step,
        .alpha = trainer->settings->alpha,
        .sums = state->sums,
        .val = val,
        .is_best = is_best,
        .images_per_second = (double)state->sums.n_images / (seconds - val->seconds),
        .seconds = seconds,
    };

    fx_schedule_rates(&trainer->schedule, state->epoch, facts.lr);
    fx_progress_epoch(&trainer->progress, state,
                      state->batch < trainer->n_batches ? state->step : 0, val, is_best, seconds);
    return fx_metrics_epoch(&facts, line, err);
}

/* The state after a whole epoch. */
static void commit_epoch(struct fx_trainer *trainer, double accuracy)
{
    struct fx_state *state = &trainer->state;

    state->epochs_done = state->epoch;
    state->val_accuracy = accuracy;
    state->best = trainer->best;
    state->epoch++;
    state->batch = 0;
    state->sums = (struct fx_epoch_sums){ 0 };
    state->history_lines = trainer->history->n_lines;
    trainer->is_dirty = true;
}

/* Validation, of the averages where there are some: they are what is kept as the best. */
static enum fx_status validate(struct fx_trainer *trainer, struct fx_measure *val,
                               struct fx_err *err)
{
    const struct fx_engine *engine = trainer->engine;
    struct fx_err second;

    if (!engine->graph->averages)
        return fx_evaluate(trainer->engine, trainer->dataset, &trainer->val, NULL, NULL, val, err);
    FX_TRY(engine->backend->averages_swap(engine->model, err));
    enum fx_status status =
        fx_evaluate(trainer->engine, trainer->dataset, &trainer->val, NULL, NULL, val, err);
    enum fx_status back =
        engine->backend->averages_swap(engine->model, status == FX_OK ? err : &second);
    return status == FX_OK ? back : status;
}

/* Validation, best, event, commit.  When --steps ends the run within an epoch, that epoch is
 * measured as it is; the state stays where it was, so that a longer run can go on from there. */
static enum fx_status finish_epoch(struct fx_trainer *trainer, struct fx_err *err)
{
    bool is_whole = trainer->state.batch == trainer->n_batches, is_best;
    struct fx_measure val;
    char *line;

    if (!is_whole && trainer->is_dirty)
        FX_TRY(fx_trainer_save(trainer, err));
    FX_TRY(validate(trainer, &val, err));
    FX_TRY(keep_best(trainer, decisive_accuracy(&val), &is_best, err));
    FX_TRY(epoch_line(trainer, &val, is_best, &line, err));
    enum fx_status status = fx_history_record(trainer->history, line, err);
    if (status == FX_OK && is_whole)
        commit_epoch(trainer, decisive_accuracy(&val));
    if (status == FX_OK)
        status = fx_history_say(trainer->history, line, err);
    free(line);
    if (status == FX_OK && is_whole)
        status = fx_trainer_save(trainer, err);
    trainer->epoch_start = fx_seconds();
    return status;
}

enum fx_status fx_trainer_loop(struct fx_trainer *trainer, struct fx_err *err)
{
    fx_progress_begin(&trainer->progress);
    trainer->saved_at = fx_seconds();
    trainer->best = trainer->state.best;
    for (;;) {
        const struct fx_state *state = &trainer->state;
        if (state->batch == 0 && fx_trainer_is_finished(trainer->settings, state))
            return FX_OK;
        FX_TRY(train_epoch(trainer, err));
        FX_TRY(finish_epoch(trainer, err));
        if (steps_are_done(trainer->settings, state))
            return FX_OK;
    }
}
