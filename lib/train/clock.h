/* Wall time for metrics and progress. */
#ifndef FX_TRAIN_CLOCK_H
#define FX_TRAIN_CLOCK_H

#include <time.h>

/* Seconds of a clock that never goes back. */
static inline double fx_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
