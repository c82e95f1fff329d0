/* The parameter store: its arenas, and reading and writing parameters. */
#include "backend/host/store.h"

#include "ops/operators.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum fx_status fx_store_init(struct fx_store *store, const struct fx_graph *graph, bool trains,
                             const struct fx_packing *packing, struct fx_err *err)
{
    *store = (struct fx_store){ 0 };
    if (packing)
        store->packing = *packing;
    return fx_store_layout_init(&store->layout, graph, trains, err);
}

void fx_store_fini(struct fx_store *store)
{
    for (int role = 0; role < FX_N_ROLES; role++)
        fx_arena_destroy(&store->arenas[role]);
    fx_arena_destroy(&store->statistics);
    free(store->partials);
    fx_store_layout_fini(&store->layout);
    *store = (struct fx_store){ 0 };
}

enum fx_status fx_store_allocate(struct fx_store *store, struct fx_err *err)
{
    static const char *const names[] = { "parameters", "gradients", "optimizer state",
                                         "optimizer state", "averages" };
    float **floats[] = { &store->values, &store->grads, &store->exp_avg, &store->exp_avg_sq,
                         &store->average };
    int n_roles = !store->layout.trains ? 1 : store->layout.averages ? 5 : 4;

    FX_TRY(fx_store_layout_place(&store->layout, err));
    store->partials = calloc(store->layout.n_chunks + 1, sizeof *store->partials);
    if (!store->partials)
        return fx_fail(err, FX_EFAIL, "out of memory for the optimizer's table");
    for (int role = 0; role < n_roles; role++) {
        size_t n = store->layout.n_trained + (role == FX_ROLE_VALUE ? store->layout.n_fixed : 0);

        FX_TRY(fx_arena_create(&store->arenas[role], n * sizeof(float), names[role], err));
        *floats[role] = store->arenas[role].base;
    }
    FX_TRY(fx_arena_create(&store->statistics, fx_store_layout_statistics_bytes(&store->layout),
                           "running statistics", err));
    store->running = store->statistics.base;
    if (store->running) {
        float *end = store->running + store->layout.n_running;

        store->pending = store->layout.gathers ? end : NULL;
        end += store->layout.gathers ? store->layout.n_running : 0;
        store->running_average = store->layout.averages ? end : NULL;
        end += store->layout.averages ? store->layout.n_running : 0;
        store->counters = (int64_t *)end;
    }
    store->is_allocated = true;
    return FX_OK;
}

float *fx_store_at(const struct fx_store *store, int param, enum fx_tensor_role role)
{
    float *const arenas[] = { store->values, store->grads, store->exp_avg, store->exp_avg_sq,
                              store->average };
    size_t offset = store->layout.extents[param].offset;

    if (!fx_param_is_weight(&store->layout.graph->params[param]))
        return (role == FX_ROLE_AVERAGE ? store->running_average : store->running) + offset;
    return arenas[role] + offset - (role == FX_ROLE_VALUE ? 0 : store->layout.n_fixed);
}

/* A role other than VALUE exists only for trained parameters of a model that trains. */
static enum fx_status check_role(const struct fx_store *store, int param, enum fx_tensor_role role,
                                 struct fx_err *err)
{
    const struct fx_param *p = &store->layout.graph->params[param];

    if (!store->is_allocated)
        return fx_fail(err, FX_EUSAGE, "%s: the model has no memory yet", p->name);
    if (role == FX_ROLE_AVERAGE)
        return store->layout.averages && fx_param_is_averaged(p)
                   ? FX_OK
                   : fx_fail(err, FX_EUSAGE, "%s: has no average", p->name);
    if (role != FX_ROLE_VALUE && (p->kind != FX_PARAM_TRAINED || !store->layout.trains))
        return fx_fail(err, FX_EUSAGE, "%s: has no gradient and no optimizer state", p->name);
    return FX_OK;
}

static bool is_packed(const struct fx_store *store, int param)
{
    return store->packing.pack && fx_param_is_weight(&store->layout.graph->params[param]);
}

enum fx_status fx_store_write(struct fx_store *store, int param, enum fx_tensor_role role,
                              const void *data, struct fx_err *err)
{
    const struct fx_param *p = &store->layout.graph->params[param];

    FX_TRY(check_role(store, param, role, err));
    if (p->kind == FX_PARAM_COUNTER)
        memcpy(&store->counters[store->layout.extents[param].offset], data, sizeof(int64_t));
    else if (is_packed(store, param))
        return store->packing.pack(store->packing.ctx, param, data, fx_store_at(store, param, role),
                                   err);
    else
        memcpy(fx_store_at(store, param, role), data, (size_t)p->n_elements * sizeof(float));
    return FX_OK;
}

enum fx_status fx_store_read(const struct fx_store *store, int param, enum fx_tensor_role role,
                             void *data, struct fx_err *err)
{
    const struct fx_param *p = &store->layout.graph->params[param];

    FX_TRY(check_role(store, param, role, err));
    if (p->kind == FX_PARAM_COUNTER)
        memcpy(data, &store->counters[store->layout.extents[param].offset], sizeof(int64_t));
    else if (is_packed(store, param))
        return store->packing.unpack(store->packing.ctx, param, fx_store_at(store, param, role),
                                     data, err);
    else
        memcpy(data, fx_store_at(store, param, role), (size_t)p->n_elements * sizeof(float));
    return FX_OK;
}

/* ---- averages ---- */

void fx_store_average(struct fx_store *store, double ema)
{
    const struct fx_store_layout *layout = &store->layout;

    fx_average_step(ema, layout->n_trained, store->average, store->values + layout->n_fixed);
    fx_average_step(ema, layout->n_running, store->running_average, store->running);
}

static void swap(float *a, float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float kept = a[i];

        a[i] = b[i];
        b[i] = kept;
    }
}

void fx_store_swap(struct fx_store *store)
{
    const struct fx_store_layout *layout = &store->layout;

    swap(store->average, store->values + layout->n_fixed, layout->n_trained);
    swap(store->running_average, store->running, layout->n_running);
}

/* Running statistics of BatchNorm: gathered by training forwards, committed by update.  Until the
 * commit they live in `pending`, so that an abandoned step leaves no trace. */

enum { RUNNING_MEAN = 2, RUNNING_VAR = 3 }; /* numbers in a BATCHNORM node's params */

void fx_store_step_begin(struct fx_store *store)
{
    store->n_forwards = 0;
}

/* The last value is the committed one for the first forward of a step. */
static void move_average(const struct fx_store *store, int param, float momentum,
                         const float *batch)
{
    size_t offset = store->layout.extents[param].offset;
    const float *last = store->n_forwards == 0 ? store->running : store->pending;

    fx_running_average((size_t)store->layout.graph->params[param].n_elements, momentum,
                       last + offset, batch, store->pending + offset);
}

void fx_store_gather(struct fx_store *store, const struct fx_node *batchnorm, const float *mean,
                     const float *var)
{
    move_average(store, batchnorm->params[RUNNING_MEAN], batchnorm->momentum, mean);
    move_average(store, batchnorm->params[RUNNING_VAR], batchnorm->momentum, var);
}

void fx_store_forward_done(struct fx_store *store)
{
    store->n_forwards += store->layout.gathers;
}

bool fx_store_pending_is_finite(const struct fx_store *store)
{
    if (store->n_forwards == 0)
        return true;
    for (size_t i = 0; i < store->layout.n_running; i++)
        if (!isfinite(store->pending[i]))
            return false;
    return true;
}

void fx_store_commit(struct fx_store *store)
{
    if (store->n_forwards == 0 || store->layout.n_running == 0)
        return;
    memcpy(store->running, store->pending, store->layout.n_running * sizeof(float));
    for (size_t i = 0; i < store->layout.n_counters; i++)
        store->counters[i] += store->n_forwards;
    store->n_forwards = 0;
}
