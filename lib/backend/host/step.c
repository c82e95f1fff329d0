/* A step on the host.  Its last call: norm of the gradients, guard, clip, optimizer over all
 * chunks, commit of the running statistics.  Everything that can fail comes before the first write.
 */
#include "backend/host/step.h"

#include <math.h>

/* ---- the last call --------------------------------------------------------------------------- */

/* What the tasks of one update share; a task is one chunk. */
struct step {
    struct fx_store *store;
    bool is_sgd;
    struct fx_adamw adamw[FX_N_GROUPS];
    struct fx_sgd_momentum sgd[FX_N_GROUPS];
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
    float *values = store->values + store->layout.n_fixed + at;

    if (step->is_sgd)
        fx_sgd_momentum_step(&step->sgd[chunk->group], n, values, store->grads + at,
                             store->exp_avg + at);
    else
        fx_adamw_step(&step->adamw[chunk->group], n, values, store->grads + at, store->exp_avg + at,
                      store->exp_avg_sq + at);
}

/* The norm of each group's gradients (times grad_scale) and of all. */
static double measure_norms(struct fx_store *store, double grad_scale,
                            const struct fx_parallel *parallel, double norms[FX_N_GROUPS])
{
    double sums[FX_N_GROUPS] = { 0 }, total = 0;

    parallel->run(parallel->owner, store->layout.n_chunks, norm_task, store);
    for (size_t i = 0; i < store->layout.n_chunks; i++)
        sums[store->layout.chunks[i].group] += store->partials[i];
    for (int g = 0; g < FX_N_GROUPS; g++) {
        norms[g] = grad_scale * sqrt(sums[g]);
        total += sums[g];
    }
    return grad_scale * sqrt(total);
}

enum fx_status fx_host_update(struct fx_store *store, const struct fx_losses *losses,
                              const struct fx_update *update, const struct fx_sgd *sgd,
                              const struct fx_parallel *parallel, struct fx_step_result *result,
                              struct fx_err *err)
{
    struct step step = { .store = store, .is_sgd = sgd };
    double norms[FX_N_GROUPS], scales[FX_N_GROUPS];
    double norm = measure_norms(store, update->grad_scale, parallel, norms);

    *result = (struct fx_step_result){ .grad_norm = norm, .losses = *losses };
    if (!isfinite(losses->total))
        return fx_fail(err, FX_EDIVERGED, "training diverged: the loss is not finite");
    if (!isfinite(norm))
        return fx_fail(err, FX_EDIVERGED, "training diverged: the gradient is not finite");
    if (!fx_store_pending_is_finite(store))
        return fx_fail(err, FX_EDIVERGED, "training diverged: a running statistic is not finite");
    fx_update_scales(update, norm, norms, scales);
    for (int g = 0; g < FX_N_GROUPS; g++) {
        if (sgd)
            step.sgd[g] = fx_sgd_momentum_of(update, sgd, update->lr[g], scales[g]);
        else
            step.adamw[g] = fx_adamw_of(update, update->lr[g], scales[g]);
    }
    parallel->run(parallel->owner, store->layout.n_chunks, step_task, &step);
    fx_store_commit(store);
    if (store->layout.averages)
        fx_store_average(store, update->ema);
    return FX_OK;
}

/* ---- the back-end table ---------------------------------------------------------------------- */

static struct fx_host_step *step_of(struct fx_model *model)
{
    return (struct fx_host_step *)model;
}

void fx_host_step_begin(struct fx_model *model)
{
    step_of(model)->losses = (struct fx_losses){ 0 };
    fx_store_step_begin(&step_of(model)->store);
}

enum fx_status fx_host_step_end(struct fx_model *model, struct fx_step_result *result,
                                struct fx_err *err)
{
    (void)err;
    *result = step_of(model)->result;
    return FX_OK;
}

enum fx_status fx_host_losses_read(struct fx_model *model, struct fx_losses *losses,
                                   struct fx_err *err)
{
    (void)err;
    *losses = step_of(model)->losses;
    return FX_OK;
}

enum fx_status fx_host_tensor_write(struct fx_model *model, int param, enum fx_tensor_role role,
                                    const void *data, struct fx_err *err)
{
    return fx_store_write(&step_of(model)->store, param, role, data, err);
}

enum fx_status fx_host_tensor_read(struct fx_model *model, int param, enum fx_tensor_role role,
                                   void *data, struct fx_err *err)
{
    return fx_store_read(&step_of(model)->store, param, role, data, err);
}

enum fx_status fx_host_averages_swap(struct fx_model *model, struct fx_err *err)
{
    (void)err;
    fx_store_swap(&step_of(model)->store);
    return FX_OK;
}

/* The serial form of struct fx_parallel. */

static void run_serial(void *owner, size_t n, void (*body)(void *ctx, size_t i), void *ctx)
{
    (void)owner;
    for (size_t i = 0; i < n; i++)
        body(ctx, i);
}

const struct fx_parallel fx_parallel_serial = { .run = run_serial, .owner = NULL };
