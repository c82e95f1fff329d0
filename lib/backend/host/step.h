/* A training step over a store on the host: what it sums up, its last call (gradient norm, clip,
 * guard, optimizer, commit), and the functions of the back-end table that are the same for all. */
#ifndef FX_BACKEND_HOST_STEP_H
#define FX_BACKEND_HOST_STEP_H

#include "backend/host/store.h"

#include <stddef.h>

/* Runs a loop on the threads of a back end.
 *
 * run: calls body(ctx, i) once for each i in 0 .. n-1, in any order and on any threads, and returns
 * when all are done.  Bodies of different i never write the same memory, so the result does not
 * depend on the number of threads. */
struct fx_parallel {
    void (*run)(void *owner, size_t n, void (*body)(void *ctx, size_t i), void *ctx);
    void *owner; /* borrowed; first argument of run */
};

/* fx_parallel_serial: one after the other on the calling thread. */
extern const struct fx_parallel fx_parallel_serial;

/* The first member of struct fx_model in back ends on the host. */
struct fx_host_step {
    struct fx_store store;
    struct fx_losses losses;      /* since step_begin */
    struct fx_step_result result; /* of the last update */
};

/* Functions of the back-end table (backend.h), for a model that begins with struct fx_host_step. */
void fx_host_step_begin(struct fx_model *model);
enum fx_status fx_host_step_end(struct fx_model *model, struct fx_step_result *result,
                                struct fx_err *err);
enum fx_status fx_host_losses_read(struct fx_model *model, struct fx_losses *losses,
                                   struct fx_err *err);
enum fx_status fx_host_tensor_write(struct fx_model *model, int param, enum fx_tensor_role role,
                                    const void *data, struct fx_err *err);
enum fx_status fx_host_tensor_read(struct fx_model *model, int param, enum fx_tensor_role role,
                                   void *data, struct fx_err *err);

enum fx_status fx_host_averages_swap(struct fx_model *model, struct fx_err *err);

/* fx_host_update: struct fx_backend's `update` over a store.
 *   losses  in  of this step, for the guard
 *   sgd     in  NULL: AdamW
 *   result  out also when the step is refused
 * The norm is a sum of squares in double over chunks of fixed size, added in chunk order: it does
 * not depend on the number of threads.  FX_EDIVERGED, nothing changed, when it, the loss or a
 * running statistic is not finite. */
enum fx_status fx_host_update(struct fx_store *store, const struct fx_losses *losses,
                              const struct fx_update *update, const struct fx_sgd *sgd,
                              const struct fx_parallel *parallel, struct fx_step_result *result,
                              struct fx_err *err) FX_MUST_CHECK;

#endif
