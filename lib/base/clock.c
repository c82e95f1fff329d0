/* Seconds that pass, and the time of day. */
#include "base/clock.h"

#include <time.h>

double fx_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void fx_timestamp(char text[FX_TIMESTAMP_BYTES])
{
    struct timespec now;
    struct tm local;

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    strftime(text, FX_TIMESTAMP_BYTES, "%Y-%m-%d %H:%M:%S", &local);
}
