/* The worker threads of a model.  Lanes run side by side on the first `n_lanes` of them, each with
 * its own OpenMP team inside oneDNN and our loops; the update runs in chunks on all of them.
 * Which worker does what is fixed, so results do not depend on scheduling. */
#ifndef FX_BACKEND_CPU_LANES_H
#define FX_BACKEND_CPU_LANES_H

#include "backend/host/parallel.h"
#include "base/status.h"

/* How many lanes run at a time, and how many OpenMP threads each gets. */
struct fx_lane_split {
    int n_workers; /* divides n_lanes */
    int n_threads; /* of each worker; n_workers * n_threads <= threads */
};
/* fx_lane_split_of: the split of `threads` that keeps most of them busy; of two equal ones that
 * with more workers, because one core per lane beats two cores per convolution. */
struct fx_lane_split fx_lane_split_of(int n_lanes, int threads);

struct fx_pool; /* the threads */

/* fx_pool_create: starts n_threads threads that wait for work; each has team OpenMP threads. */
enum fx_status fx_pool_create(struct fx_pool **pool, int n_threads, int team,
                              struct fx_err *err) FX_MUST_CHECK;
void fx_pool_destroy(struct fx_pool *pool); /* accepts NULL */

/* One worker's share of a job; its own error record is merged by fx_pool_run. */
typedef enum fx_status fx_pool_job(void *ctx, int worker, struct fx_err *err);

/* fx_pool_run: job(ctx, worker) on workers 0 .. n_workers-1 at once; returns when all are done,
 * with the failure of the lowest worker. */
enum fx_status fx_pool_run(struct fx_pool *pool, int n_workers, fx_pool_job *job, void *ctx,
                           struct fx_err *err) FX_MUST_CHECK;

/* fx_pool_parallel: the pool as the host code's struct fx_parallel; item i runs on worker i modulo
 * the number of threads. */
struct fx_parallel fx_pool_parallel(struct fx_pool *pool);

#endif
