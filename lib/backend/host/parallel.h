/* How host code that can run on several threads is handed to whoever owns the threads. */
#ifndef FX_BACKEND_HOST_PARALLEL_H
#define FX_BACKEND_HOST_PARALLEL_H

#include <stddef.h>

/* run: calls body(ctx, i) once for each i in 0 .. n-1, in any order and on any threads, and returns
 * when all are done.  Bodies of different i never write the same memory, so the result does not
 * depend on the number of threads. */
struct fx_parallel {
    void (*run)(void *owner, size_t n, void (*body)(void *ctx, size_t i), void *ctx);
    void *owner; /* borrowed; first argument of run */
};

/* fx_parallel_serial: one after the other on the calling thread. */
extern const struct fx_parallel fx_parallel_serial;

#endif
