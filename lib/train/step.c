/* One optimiser step and its commit. */
#include "train/metrics.h"
#include "train/trainer.h"

#include <stdlib.h>

/* What a step found out. */
struct step_result {
    struct fx_losses losses;
    double grad_norm, lr[FX_N_GROUPS];
};

/* Forward and backward of one micro-batch; changes nothing that a checkpoint holds. */
static enum fx_status micro_batch(struct fx_trainer *trainer, bool accumulate,
                                  struct fx_program **program, struct fx_err *err)
{
    struct fx_engine *engine = trainer->engine;
    const struct fx_backend *backend = engine->backend;
    const struct fx_settings *settings = trainer->settings;
    struct fx_loss_config loss = { .alpha = (float)settings->alpha,
                                   .label_smoothing = (float)settings->label_smoothing,
                                   .distill = (float)settings->distill };
    struct fx_batch batch;

    fx_feeder_next(trainer->feeder, &batch);
    *program = batch.n == engine->train_n ? engine->train : engine->tail;
    FX_TRY(backend->input(*program, &batch, err));
    FX_TRY(backend->forward(*program, err));
    FX_TRY(backend->loss(*program, &loss, err));
    return backend->backward(*program, accumulate, err);
}

static struct fx_update describe_update(const struct fx_trainer *trainer, int64_t n_micro,
                                        const double lr[FX_N_GROUPS])
{
    const struct fx_settings *settings = trainer->settings;
    struct fx_update update = {
        .step = trainer->state.step + 1,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .eps = 1e-8,
        .weight_decay = settings->weight_decay,
        .clip = settings->clip,
        .clip_group = { [FX_GROUP_EXPERTS] = settings->clip_experts,
                        [FX_GROUP_FUSION] = settings->clip_fusion,
                        [FX_GROUP_HEAD] = settings->clip_fusion },
        .grad_scale = 1.0 / (double)n_micro,
    };

    for (int group = 0; group < FX_N_GROUPS; group++)
        update.lr[group] = lr[group];
    return update;
}

/* Up to and with the back end's commit. */
static enum fx_status compute(struct fx_trainer *trainer, int64_t n_micro,
                              struct step_result *result, struct fx_err *err)
{
    const struct fx_backend *backend = trainer->engine->backend;
    static const struct fx_sgd nesterov = { .momentum = 0.9, .nesterov = true };
    struct fx_program *program = NULL;
    struct fx_update_result norm;

    fx_schedule_rates(&trainer->schedule, trainer->state.epoch - 1, result->lr);
    backend->step_begin(trainer->engine->model);
    for (int64_t i = 0; i < n_micro; i++)
        FX_TRY(micro_batch(trainer, i > 0, &program, err));
    struct fx_update update = describe_update(trainer, n_micro, result->lr);
    FX_TRY(
        backend->update(program, &update, trainer->settings->sgd ? &nesterov : NULL, &norm, err));
    trainer->is_torn = true;
    result->grad_norm = norm.grad_norm;
    return backend->losses_read(trainer->engine->model, &result->losses, err);
}

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

static enum fx_status record_step(struct fx_trainer *trainer, const struct step_result *result,
                                  char **line, struct fx_err *err)
{
    double n = (double)result->losses.n_images;
    struct fx_step_facts facts = {
        .epoch = trainer->state.epoch,
        .step = trainer->state.step + 1,
        .total = result->losses.total / n,
        .fused = head_loss(trainer, &result->losses) / n,
        .individual = individual(trainer, &result->losses) / n,
        .grad_norm = result->grad_norm,
        .lr_experts = result->lr[FX_GROUP_EXPERTS],
        .lr_fusion = result->lr[FX_GROUP_FUSION],
    };

    FX_TRY(fx_metrics_step(&facts, line, err));
    return fx_history_record(trainer->history, *line, err);
}

static void commit(struct fx_trainer *trainer, int64_t n_micro, const struct step_result *result)
{
    struct fx_state *state = &trainer->state;

    state->step++;
    state->batch += n_micro;
    state->sums.n_images += result->losses.n_images;
    state->sums.total += result->losses.total;
    state->sums.fused += head_loss(trainer, &result->losses);
    state->sums.individual += individual(trainer, &result->losses);
    state->sums.correct += result->losses.correct;
    state->history_lines = trainer->history->n_lines;
    trainer->is_torn = false;
    trainer->is_dirty = true;
}

enum fx_status fx_trainer_step(struct fx_trainer *trainer, struct fx_err *err)
{
    int64_t left = trainer->n_batches - trainer->state.batch;
    int64_t n_micro = left < trainer->settings->accumulate ? left : trainer->settings->accumulate;
    struct step_result result = { 0 };
    char *line = NULL;
    enum fx_status status;

    status = compute(trainer, n_micro, &result, err);
    if (status == FX_EDIVERGED)
        fx_err_prepend(err, "epoch %lld, step %lld: ", (long long)trainer->state.epoch,
                       (long long)trainer->state.step + 1);
    if (status != FX_OK)
        goto out;
    if (trainer->settings->log_steps)
        FX_TRY_OUT(record_step(trainer, &result, &line, err));
    commit(trainer, n_micro, &result);
    fx_progress_step(&trainer->progress, &trainer->state, &result.losses);
    if (line != NULL)
        status = fx_history_say(trainer->history, line, err);
out:
    free(line);
    return status;
}
