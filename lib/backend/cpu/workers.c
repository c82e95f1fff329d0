/* Worker threads: they sleep on a condition variable and run one job at a time together. */
#include "backend/cpu/cpu_internal.h"

#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

struct worker {
    pthread_t thread;
    struct fx_workers *workers; /* borrowed: outlives the thread */
    int number;
    enum fx_status status;
    struct fx_err err;
};

struct fx_workers {
    struct worker *threads; /* owned */
    int n_threads;          /* started */
    int team;               /* OpenMP threads of each */
    pthread_mutex_t lock;
    pthread_cond_t begin, done;
    unsigned generation; /* counts jobs */
    int n_wanted;        /* workers of the current job */
    int n_busy;          /* of them, not yet done */
    bool quit;
    fx_worker_job *job;
    void *ctx; /* borrowed during fx_workers_run */
};

struct fx_worker_share fx_worker_share_of(int n_lanes, int threads)
{
    struct fx_worker_share best = { 1, threads };

    for (int w = 1; w <= n_lanes && w <= threads; w++)
        if (n_lanes % w == 0 && w * (threads / w) >= best.n_workers * best.n_threads)
            best = (struct fx_worker_share){ w, threads / w };
    return best;
}

static void *worker_main(void *arg)
{
    struct worker *self = arg;
    struct fx_workers *workers = self->workers;
    unsigned seen = 0;

    omp_set_num_threads(workers->team);
    pthread_mutex_lock(&workers->lock);
    for (;;) {
        while (!workers->quit &&
               (workers->generation == seen || self->number >= workers->n_wanted)) {
            seen = workers->generation;
            pthread_cond_wait(&workers->begin, &workers->lock);
        }
        if (workers->quit)
            break;
        seen = workers->generation;
        pthread_mutex_unlock(&workers->lock);
        self->err = (struct fx_err){ 0 };
        self->status = workers->job(workers->ctx, self->number, &self->err);
        pthread_mutex_lock(&workers->lock);
        if (--workers->n_busy == 0)
            pthread_cond_signal(&workers->done);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

enum fx_status fx_workers_create(struct fx_workers **out, int n_threads, int team,
                                 struct fx_err *err)
{
    struct fx_workers *workers = calloc(1, sizeof *workers);
    sigset_t all, before;

    *out = workers;
    if (!workers)
        return fx_fail(err, FX_EFAIL, "worker threads: out of memory");
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->begin, NULL);
    pthread_cond_init(&workers->done, NULL);
    workers->team = team;
    workers->threads = calloc((size_t)n_threads, sizeof *workers->threads);
    if (!workers->threads) {
        fx_workers_destroy(workers);
        *out = NULL;
        return fx_fail(err, FX_EFAIL, "worker threads: out of memory");
    }
    /* Signals belong to the main thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < n_threads; i++) {
        struct worker *w = &workers->threads[i];

        w->workers = workers;
        w->number = i;
        if (pthread_create(&w->thread, NULL, worker_main, w) != 0)
            break;
        workers->n_threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (workers->n_threads == n_threads)
        return FX_OK;
    fx_workers_destroy(workers);
    *out = NULL;
    return fx_fail(err, FX_EFAIL, "worker threads: cannot start %d", n_threads);
}

void fx_workers_destroy(struct fx_workers *workers)
{
    if (!workers)
        return;
    pthread_mutex_lock(&workers->lock);
    workers->quit = true;
    pthread_cond_broadcast(&workers->begin);
    pthread_mutex_unlock(&workers->lock);
    for (int i = 0; i < workers->n_threads; i++)
        pthread_join(workers->threads[i].thread, NULL);
    pthread_cond_destroy(&workers->begin);
    pthread_cond_destroy(&workers->done);
    pthread_mutex_destroy(&workers->lock);
    free(workers->threads);
    free(workers);
}

enum fx_status fx_workers_run(struct fx_workers *workers, int n_workers, fx_worker_job *job,
                              void *ctx, struct fx_err *err)
{
    pthread_mutex_lock(&workers->lock);
    workers->job = job;
    workers->ctx = ctx;
    workers->n_wanted = workers->n_busy = n_workers;
    workers->generation++;
    pthread_cond_broadcast(&workers->begin);
    while (workers->n_busy > 0)
        pthread_cond_wait(&workers->done, &workers->lock);
    pthread_mutex_unlock(&workers->lock);
    for (int i = 0; i < n_workers; i++)
        if (workers->threads[i].status != FX_OK) {
            if (err)
                *err = workers->threads[i].err;
            return workers->threads[i].status;
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

static void parallel_run(void *workers_arg, size_t n, void (*body)(void *ctx, size_t i), void *ctx)
{
    struct fx_workers *workers = workers_arg;
    struct items items = { n, workers->n_threads, body, ctx };

    enum fx_status status = fx_workers_run(workers, workers->n_threads, run_items, &items, NULL);

    (void)status; /* run_items does not fail */
}

struct fx_parallel fx_workers_parallel(struct fx_workers *workers)
{
    return (struct fx_parallel){ .run = parallel_run, .owner = workers };
}
