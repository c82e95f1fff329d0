/* Running statistics of BatchNorm: gathered by training forwards, committed by update.  Until the
 * commit they live in `pending`, so that an abandoned step leaves no trace. */
#include "backend/host/store.h"

#include "ops/batchnorm.h"

#include <math.h>
#include <string.h>

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
