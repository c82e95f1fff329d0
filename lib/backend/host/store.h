/* The parameter store of the host back ends: one arena a role (values, gradients, exp_avg,
 * exp_avg_sq) and one of running statistics and counters, laid out as store_layout.h says.
 *
 * Life: init -> fx_store_layout_set_packed and _memory of `layout` -> allocate -> read and write.
 */
#ifndef FX_BACKEND_HOST_STORE_H
#define FX_BACKEND_HOST_STORE_H

#include "backend/host/arena.h"
#include "backend/host/store_layout.h"

/* Between C order and the packed layout of a trained parameter; NULL functions: C order is the
 * layout of everything. */
struct fx_packing {
    enum fx_status (*pack)(void *ctx, int param, const float *plain, float *packed,
                           struct fx_err *err);
    enum fx_status (*unpack)(void *ctx, int param, const float *packed, float *plain,
                             struct fx_err *err);
    void *ctx; /* borrowed */
};

struct fx_store {
    struct fx_store_layout layout; /* placed by allocate */
    bool is_allocated;
    struct fx_packing packing;
    /* into arenas; the last four only if trains, the last only if the layout averages */
    float *values, *grads, *exp_avg, *exp_avg_sq, *average;
    float *running; /* running means and variances, C order, as committed */
    float *pending; /* the same after the training forwards since step_begin */
    float *running_average;
    int n_forwards; /* training forwards gathered in pending */
    int64_t *counters;
    double *partials; /* owned; one for each chunk */
    struct fx_arena arenas[FX_N_ROLES], statistics;
};

/* fx_store_init: packing may be NULL. */
enum fx_status fx_store_init(struct fx_store *store, const struct fx_graph *graph, bool trains,
                             const struct fx_packing *packing, struct fx_err *err) FX_MUST_CHECK;
void fx_store_fini(struct fx_store *store); /* accepts a zeroed store */

/* fx_store_allocate: once; everything zero. */
enum fx_status fx_store_allocate(struct fx_store *store, struct fx_err *err) FX_MUST_CHECK;

/* The packed memory of a trained parameter in a role, or of a running statistic (FX_ROLE_VALUE,
 * FX_ROLE_AVERAGE). */
float *fx_store_at(const struct fx_store *store, int param, enum fx_tensor_role role);

/* fx_store_write, fx_store_read: the back ends' tensor_write and tensor_read.  FX_EUSAGE for a role
 * that the parameter does not have. */
enum fx_status fx_store_write(struct fx_store *store, int param, enum fx_tensor_role role,
                              const void *data, struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_store_read(const struct fx_store *store, int param, enum fx_tensor_role role,
                             void *data, struct fx_err *err) FX_MUST_CHECK;

/* fx_store_average: a step of the averages towards the values and running statistics as they are.
 * fx_store_swap: exchanges the two. */
void fx_store_average(struct fx_store *store, double ema);
void fx_store_swap(struct fx_store *store);

/* ---- running statistics of BatchNorm ----
 *
 * A training forward calls gather for each of its BATCHNORM nodes (from any thread, once a node)
 * and forward_done at its end; step_begin forgets them; update commits them.  With several forwards
 * in a step each moves the average once, as PyTorch does. */
void fx_store_step_begin(struct fx_store *store);
/* mean, var: (C) of the batch, var unbiased (n / (n - 1)). */
void fx_store_gather(struct fx_store *store, const struct fx_node *batchnorm, const float *mean,
                     const float *var);
void fx_store_forward_done(struct fx_store *store);
/* Whether every statistic that commit would make visible is finite: activations can overflow while
 * the loss stays finite, because normalised overflow is 0. */
bool fx_store_pending_is_finite(const struct fx_store *store);
void fx_store_commit(struct fx_store *store); /* called by fx_host_update */

#endif
