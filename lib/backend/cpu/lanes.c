/* Worker threads: they sleep on a condition variable and run one job at a time together. */
#include "backend/cpu/lanes.h"

#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

struct worker {
    pthread_t thread;
    struct fx_pool *pool; /* borrowed: outlives the thread */
    int number;
    enum fx_status status;
    struct fx_err err;
};

struct fx_pool {
    struct worker *workers; /* owned */
    int n_threads;          /* started */
    int team;               /* OpenMP threads of each */
    pthread_mutex_t lock;
    pthread_cond_t begin, done;
    unsigned generation; /* counts jobs */
    int n_wanted;        /* workers of the current job */
    int n_busy;          /* of them, not yet done */
    bool quit;
    fx_pool_job *job;
    void *ctx; /* borrowed during fx_pool_run */
};

struct fx_lane_split fx_lane_split_of(int n_lanes, int threads)
{
    struct fx_lane_split best = { 1, threads };

    for (int w = 1; w <= n_lanes && w <= threads; w++)
        if (n_lanes % w == 0 && w * (threads / w) >= best.n_workers * best.n_threads)
            best = (struct fx_lane_split){ w, threads / w };
    return best;
}

static void *worker_main(void *arg)
{
    struct worker *self = arg;
    struct fx_pool *pool = self->pool;
    unsigned seen = 0;

    omp_set_num_threads(pool->team);
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->quit && (pool->generation == seen || self->number >= pool->n_wanted)) {
            seen = pool->generation;
            pthread_cond_wait(&pool->begin, &pool->lock);
        }
        if (pool->quit)
            break;
        seen = pool->generation;
        pthread_mutex_unlock(&pool->lock);
        self->err = (struct fx_err){ 0 };
        self->status = pool->job(pool->ctx, self->number, &self->err);
        pthread_mutex_lock(&pool->lock);
        if (--pool->n_busy == 0)
            pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

enum fx_status fx_pool_create(struct fx_pool **out, int n_threads, int team, struct fx_err *err)
{
    struct fx_pool *pool = calloc(1, sizeof *pool);
    sigset_t all, before;

    *out = pool;
    if (!pool)
        return fx_fail(err, FX_EFAIL, "worker threads: out of memory");
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->begin, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->team = team;
    pool->workers = calloc((size_t)n_threads, sizeof *pool->workers);
    if (!pool->workers) {
        fx_pool_destroy(pool);
        *out = NULL;
        return fx_fail(err, FX_EFAIL, "worker threads: out of memory");
    }
    /* Signals belong to the main thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < n_threads; i++) {
        struct worker *w = &pool->workers[i];

        w->pool = pool;
        w->number = i;
        if (pthread_create(&w->thread, NULL, worker_main, w) != 0)
            break;
        pool->n_threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pool->n_threads == n_threads)
        return FX_OK;
    fx_pool_destroy(pool);
    *out = NULL;
    return fx_fail(err, FX_EFAIL, "worker threads: cannot start %d", n_threads);
}

void fx_pool_destroy(struct fx_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->quit = true;
    pthread_cond_broadcast(&pool->begin);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->n_threads; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->begin);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->lock);
    free(pool->workers);
    free(pool);
}

enum fx_status fx_pool_run(struct fx_pool *pool, int n_workers, fx_pool_job *job, void *ctx,
                           struct fx_err *err)
{
    pthread_mutex_lock(&pool->lock);
    pool->job = job;
    pool->ctx = ctx;
    pool->n_wanted = pool->n_busy = n_workers;
    pool->generation++;
    pthread_cond_broadcast(&pool->begin);
    while (pool->n_busy > 0)
        pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < n_workers; i++)
        if (pool->workers[i].status != FX_OK) {
            if (err)
                *err = pool->workers[i].err;
            return pool->workers[i].status;
        }
    return FX_OK;
}

/* ---- struct fx_parallel ---- */

struct items {
    size_t n;
    int stride; /* number of workers */
    void (*body)(void *ctx, size_t i);
    void *ctx;
};

static enum fx_status run_items(void *ctx, int worker, struct fx_err *err)
{
    const struct items *items = ctx;

    (void)err;
    for (size_t i = (size_t)worker; i < items->n; i += (size_t)items->stride)
        items->body(items->ctx, i);
    return FX_OK;
}

static void parallel_run(void *pool_arg, size_t n, void (*body)(void *ctx, size_t i), void *ctx)
{
    struct fx_pool *pool = pool_arg;
    struct items items = { n, pool->n_threads, body, ctx };

    enum fx_status status = fx_pool_run(pool, pool->n_threads, run_items, &items, NULL);

    (void)status; /* run_items does not fail */
}

struct fx_parallel fx_pool_parallel(struct fx_pool *pool)
{
    return (struct fx_parallel){ .run = parallel_run, .pool = pool };
}
