/* One optimiser step and its commit. */
#include "base/stop.h"
#include "run/metrics.h"
#include "run/trainer_internal.h"

#include <stdlib.h>

/* Forward and backward of one micro-batch; changes nothing that a checkpoint holds. */
static enum fx_status micro_batch(struct fx_trainer *trainer, bool accumulate,
                                  struct fx_program **program, struct fx_err *err)
{
    struct fx_engine *engine = trainer->engine;
    const struct fx_backend *backend = engine->backend;
    const struct fx_settings *settings = trainer->settings;
    struct fx_loss_config loss = { .alpha = (float)settings->alpha,
                                   .label_smoothing = (float)settings->label_smoothing,
                                   .distill = (float)settings->distill,
                                   .kd = (float)settings->kd,
                                   .kd_experts = (float)settings->kd_experts,
                                   .kd_temperature = (float)settings->kd_temperature };
    struct fx_batch batch;

    fx_data_loader_next(trainer->loader, &batch);
    *program = batch.n == engine->train_n ? engine->train : engine->tail;
    FX_TRY(backend->input(*program, &batch, err));
    FX_TRY(backend->forward(*program, err));
    FX_TRY(backend->loss(*program, &loss, err));
    return backend->backward(*program, accumulate, err);
}

static struct fx_update describe_update(const struct fx_trainer *trainer,
                                        const struct fx_step_in_flight *step)
{
    const struct fx_settings *settings = trainer->settings;
    struct fx_update update = {
        .step = trainer->state.step + trainer->n_in_flight + 1,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .eps = 1e-8,
        .weight_decay = settings->weight_decay,
        .clip = settings->clip,
        .clip_group = { [FX_GROUP_EXPERTS] = settings->clip_experts,
                        [FX_GROUP_FUSION] = settings->clip_fusion,
                        [FX_GROUP_HEAD] = settings->clip_fusion },
        .grad_scale = 1.0 / (double)step->n_micro,
        .ema = settings->ema,
    };

    for (int group = 0; group < FX_N_GROUPS; group++)
        update.lr[group] = step->lr[group];
    return update;
}

/* ---- in flight ------------------------------------------------------------------------------- */

/* The batches of the epoch that no step has taken yet. */
static int64_t batches_left(const struct fx_trainer *trainer)
{
    int64_t left = trainer->n_batches - trainer->state.batch;

    for (int i = 0; i < trainer->n_in_flight; i++)
        left -= trainer->in_flight[i].n_micro;
    return left;
}

/* The next step, up to and with the back end's update. */
static enum fx_status begin_step(struct fx_trainer *trainer, struct fx_err *err)
{
    const struct fx_backend *backend = trainer->engine->backend;
    static const struct fx_sgd nesterov = { .momentum = 0.9, .nesterov = true };
    struct fx_step_in_flight *step = &trainer->in_flight[trainer->n_in_flight];
    int64_t left = batches_left(trainer), accumulate = trainer->settings->accumulate;
    struct fx_program *program = NULL;

    step->n_micro = left < accumulate ? left : accumulate;
    fx_schedule_rates(&trainer->schedule, trainer->state.epoch - 1, step->lr);
    backend->step_begin(trainer->engine->model);
    for (int64_t i = 0; i < step->n_micro; i++)
        FX_TRY(micro_batch(trainer, i > 0, &program, err));
    struct fx_update update = describe_update(trainer, step);
    FX_TRY(backend->update(program, &update, trainer->settings->sgd ? &nesterov : NULL, err));
    trainer->n_in_flight++;
    return FX_OK;
}

/* Whether the step after the one in flight may be begun before that one is over. */
static bool goes_ahead(const struct fx_trainer *trainer)
{
    int64_t steps = trainer->settings->steps;

    return trainer->engine->backend->runs_ahead && batches_left(trainer) > 0 &&
           (steps == 0 || trainer->state.step + trainer->n_in_flight < steps) &&
           !fx_trainer_save_is_due(trainer) && !fx_stop_requested() &&
           !fx_history_listener_is_gone(trainer->history);
}

/* ---- committed ------------------------------------------------------------------------------- */

static double individual(const struct fx_trainer *trainer, const struct fx_losses *losses)
{
    double sum = 0;

    for (int k = 0; k < trainer->engine->graph->n_experts; k++)
        sum += losses->expert[k];
    return sum;
}

/* The loss that decides: of the fused head, or of a lone expert. */
static double head_loss(const struct fx_trainer *trainer, const struct fx_losses *losses)
{
    return trainer->engine->graph->fused >= 0 ? losses->fused : losses->expert[0];
}

static enum fx_status record_step(struct fx_trainer *trainer, const struct fx_step_result *result,
                                  char **line, struct fx_err *err)
{
    const double *lr = trainer->in_flight[0].lr;
    double n = (double)result->losses.n_images;
    struct fx_step_facts facts = {
        .epoch = trainer->state.epoch,
        .step = trainer->state.step + 1,
        .total = result->losses.total / n,
        .fused = head_loss(trainer, &result->losses) / n,
        .individual = individual(trainer, &result->losses) / n,
        .grad_norm = result->grad_norm,
        .lr_experts = lr[FX_GROUP_EXPERTS],
        .lr_fusion = lr[FX_GROUP_FUSION],
    };

    FX_TRY(fx_metrics_step(&facts, line, err));
    return fx_history_record(trainer->history, *line, err);
}

static void commit(struct fx_trainer *trainer, const struct fx_step_result *result)
{
    struct fx_state *state = &trainer->state;

    state->step++;
    state->batch += trainer->in_flight[0].n_micro;
    state->sums.n_images += result->losses.n_images;
    state->sums.total += result->losses.total;
    state->sums.fused += head_loss(trainer, &result->losses);
    state->sums.individual += individual(trainer, &result->losses);
    state->sums.correct += result->losses.correct;
    state->history_lines = trainer->history->n_lines;
    trainer->in_flight[0] = trainer->in_flight[1];
    trainer->n_in_flight--;
    trainer->is_dirty = true;
}

/* The end of the first step in flight. */
static enum fx_status end_step(struct fx_trainer *trainer, struct fx_err *err)
{
    struct fx_step_result result = { 0 };
    char *line = NULL;
    enum fx_status status;

    status = trainer->engine->backend->step_end(trainer->engine->model, &result, err);
    if (status == FX_EDIVERGED)
        trainer->n_in_flight = 0; /* refused, and what was ahead with it */
    if (status != FX_OK)
        goto out;
    if (trainer->settings->log_steps)
        status = record_step(trainer, &result, &line, err);
    trainer->is_unrecorded = status != FX_OK;
    if (trainer->is_unrecorded)
        goto out;
    commit(trainer, &result);
    fx_progress_step(&trainer->progress, &trainer->state, &result.losses);
    if (line)
        status = fx_history_say(trainer->history, line, err);
out:
    free(line);
    return status;
}

enum fx_status fx_trainer_finish_steps(struct fx_trainer *trainer, struct fx_err *err)
{
    if (trainer->is_unrecorded)
        return fx_fail(err, FX_EFAIL, "step %lld is not in the history",
                       (long long)trainer->state.step + 1);
    while (trainer->n_in_flight > 0)
        FX_TRY(end_step(trainer, err));
    return FX_OK;
}

static enum fx_status step(struct fx_trainer *trainer, struct fx_err *err)
{
    if (trainer->n_in_flight == 0)
        FX_TRY(begin_step(trainer, err));
    if (goes_ahead(trainer)) {
        enum fx_status status = begin_step(trainer, err);
        if (status != FX_OK && status != FX_ESTOPPED)
            return status;
    }
    return end_step(trainer, err);
}

enum fx_status fx_trainer_step(struct fx_trainer *trainer, struct fx_err *err)
{
    enum fx_status status = step(trainer, err);

    if (status == FX_EDIVERGED)
        fx_err_prepend(err, "epoch %lld, step %lld: ", (long long)trainer->state.epoch,
                       (long long)trainer->state.step + 1);
    return status;
}
