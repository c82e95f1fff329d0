/* The serial form of struct fx_parallel. */
#include "backend/host/parallel.h"

static void run_serial(void *owner, size_t n, void (*body)(void *ctx, size_t i), void *ctx)
{
    (void)owner;
    for (size_t i = 0; i < n; i++)
        body(ctx, i);
}

const struct fx_parallel fx_parallel_serial = { .run = run_serial, .owner = NULL };
