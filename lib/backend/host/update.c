/* A step's last slot: norm of the gradients, guard, clip, optimizer over all chunks, commit of the
 * running statistics.  Everything that can fail comes before the first write. */
#include "backend/host/update.h"

#include <math.h>

/* What the tasks of one update share; a task is one chunk. */
struct step {
    struct fx_store *store;
    bool is_sgd;
    struct fx_adamw_step adamw[FX_N_GROUPS];
    struct fx_sgd_step sgd[FX_N_GROUPS];
};

static void norm_task(void *ctx, size_t i)
{
    struct fx_store *store = ctx;
    const struct fx_chunk *chunk = &store->layout.chunks[i];

    store->partials[i] = fx_sum_squares(store->grads + chunk->begin, chunk->end - chunk->begin);
}

static void step_task(void *ctx, size_t i)
{
    const struct step *step = ctx;
    struct fx_store *store = step->store;
    const struct fx_chunk *chunk = &store->layout.chunks[i];
    size_t at = chunk->begin, n = chunk->end - at;

    if (step->is_sgd)
        fx_sgd_momentum(&step->sgd[chunk->group], n, store->values + at, store->grads + at,
                        store->exp_avg + at);
    else
        fx_adamw(&step->adamw[chunk->group], n, store->values + at, store->grads + at,
                 store->exp_avg + at, store->exp_avg_sq + at);
}

/* The norm of each group's gradients (times grad_scale) and of all. */
static double measure_norms(struct fx_store *store, double grad_scale,
                            const struct fx_parallel *parallel, double norms[FX_N_GROUPS])
{
    double sums[FX_N_GROUPS] = { 0 }, total = 0;

    parallel->run(parallel->pool, store->layout.n_chunks, norm_task, store);
    for (size_t i = 0; i < store->layout.n_chunks; i++)
        sums[store->layout.chunks[i].group] += store->partials[i];
    for (int g = 0; g < FX_N_GROUPS; g++) {
        norms[g] = grad_scale * sqrt(sums[g]);
        total += sums[g];
    }
    return grad_scale * sqrt(total);
}

/* torch.nn.utils.clip_grad_norm_: min(1, max_norm / (norm + 1e-6)). */
static double clip_coefficient(double max_norm, double norm)
{
    return fmin(1.0, max_norm / (norm + 1e-6));
}

/* What each group's gradients are multiplied by: micro-batches and clip. */
static void group_scales(const struct fx_update *update, double norm,
                         const double norms[FX_N_GROUPS], double scales[FX_N_GROUPS])
{
    bool per_group = false;

    for (int g = 0; g < FX_N_GROUPS; g++)
        per_group = per_group || update->clip_group[g] > 0;
    for (int g = 0; g < FX_N_GROUPS; g++) {
        double clip = per_group ? update->clip_group[g] : update->clip;

        scales[g] = update->grad_scale;
        if (clip > 0)
            scales[g] *= clip_coefficient(clip, per_group ? norms[g] : norm);
    }
}

struct fx_adamw_step fx_adamw_step_of(const struct fx_update *u, double lr, double scale)
{
    double correction1 = 1.0 - pow(u->beta1, (double)u->step);
    double correction2 = 1.0 - pow(u->beta2, (double)u->step);

    return (struct fx_adamw_step){
        .scale = (float)scale,
        .keep = (float)(1.0 - lr * u->weight_decay),
        .beta1 = (float)u->beta1,
        .beta2 = (float)u->beta2,
        .rest1 = (float)(1.0 - u->beta1),
        .rest2 = (float)(1.0 - u->beta2),
        .rate = (float)(lr / correction1),
        .root_correction = (float)sqrt(correction2),
        .eps = (float)u->eps,
    };
}

static struct fx_sgd_step sgd_step(const struct fx_update *u, const struct fx_sgd *sgd, double lr,
                                   double scale)
{
    return (struct fx_sgd_step){
        .scale = (float)scale,
        .weight_decay = (float)u->weight_decay,
        .momentum = (float)sgd->momentum,
        .lr = (float)lr,
        .nesterov = sgd->nesterov,
    };
}

enum fx_status fx_host_update(struct fx_store *store, const struct fx_losses *losses,
                              const struct fx_update *update, const struct fx_sgd *sgd,
                              const struct fx_parallel *parallel, struct fx_step_result *result,
                              struct fx_err *err)
{
    struct step step = { .store = store, .is_sgd = sgd != NULL };
    double norms[FX_N_GROUPS], scales[FX_N_GROUPS];
    double norm = measure_norms(store, update->grad_scale, parallel, norms);

    *result = (struct fx_step_result){ .grad_norm = norm, .losses = *losses };
    if (!isfinite(losses->total))
        return fx_fail(err, FX_EDIVERGED, "training diverged: the loss is not finite");
    if (!isfinite(norm))
        return fx_fail(err, FX_EDIVERGED, "training diverged: the gradient is not finite");
    if (!fx_store_pending_is_finite(store))
        return fx_fail(err, FX_EDIVERGED, "training diverged: a running statistic is not finite");
    group_scales(update, norm, norms, scales);
    for (int g = 0; g < FX_N_GROUPS; g++) {
        if (sgd)
            step.sgd[g] = sgd_step(update, sgd, update->lr[g], scales[g]);
        else
            step.adamw[g] = fx_adamw_step_of(update, update->lr[g], scales[g]);
    }
    parallel->run(parallel->pool, store->layout.n_chunks, step_task, &step);
    fx_store_commit(store);
    return FX_OK;
}
