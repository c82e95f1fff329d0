/* The last call of a step on the host: gradient norm, clip, guard, optimizer, commit. */
#ifndef FX_BACKEND_HOST_UPDATE_H
#define FX_BACKEND_HOST_UPDATE_H

#include "backend/host/parallel.h"
#include "backend/host/store.h"

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
