/* The worker threads of a model.  Lanes run side by side on the first `n_lanes` of them, each with
 * its own OpenMP team inside oneDNN and our loops; the update runs in chunks on all of them.
 * Which worker does what is fixed, so results do not depend on scheduling. */
#ifndef FX_BACKEND_CPU_WORKERS_INTERNAL_H
#define FX_BACKEND_CPU_WORKERS_INTERNAL_H

#include "backend/host/parallel.h"
#include "base/status.h"

/* How many lanes run at a time, and how many OpenMP threads each gets. */
struct fx_worker_share {
    int n_workers; /* divides n_lanes */
    int n_threads; /* of each worker; n_workers * n_threads <= threads */
};
/* fx_worker_share_of: the division of `threads` that keeps most of them busy; of two equal ones
 * that with more workers, because one core per lane beats two cores per convolution. */
struct fx_worker_share fx_worker_share_of(int n_lanes, int threads);

struct fx_workers; /* the threads */

/* fx_workers_create: starts n_threads threads that wait for work; each has team OpenMP threads. */
enum fx_status fx_workers_create(struct fx_workers **workers, int n_threads, int team,
                                 struct fx_err *err) FX_MUST_CHECK;
void fx_workers_destroy(struct fx_workers *workers); /* accepts NULL */

/* One worker's share of a job; its own error record is merged by fx_workers_run. */
typedef enum fx_status fx_worker_job(void *ctx, int worker, struct fx_err *err);

/* fx_workers_run: job(ctx, worker) on workers 0 .. n_workers-1 at once; returns when all are done,
 * with the failure of the lowest worker. */
enum fx_status fx_workers_run(struct fx_workers *workers, int n_workers, fx_worker_job *job,
                              void *ctx, struct fx_err *err) FX_MUST_CHECK;

/* fx_workers_parallel: the workers as the host code's struct fx_parallel; item i runs on worker i
 * modulo the number of threads. */
struct fx_parallel fx_workers_parallel(struct fx_workers *workers);

#endif
