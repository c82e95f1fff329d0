/* Choosing by time: runs candidates on the device and remembers the fastest.
 *
 * What is measured is one candidate alone on an otherwise idle device with warm caches, in a graph
 * as in a step, because the host takes longer to enqueue a small one than the device to run it:
 * good enough to tell candidates apart, not a forecast of a step.  An earlier one stays where a
 * later one is as fast within the noise. */
#ifndef FX_BACKEND_CUDA_TIMING_H
#define FX_BACKEND_CUDA_TIMING_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>

struct fx_timing {
    cudaStream_t stream;    /* borrowed */
    cudaEvent_t begin, end; /* owned */
    int n;                  /* candidates that were tried */
    int fastest;            /* its number; -1: none could be timed */
    float ms;               /* of the rounds of the fastest */
};

/* Enqueues one run of a candidate on the stream, and on others only forked from it and joined;
 * whether that went well. */
typedef bool fx_timed_fn(const void *candidate);

/* fx_timing_open: whether there is something to measure with; to be closed in any case. */
bool fx_timing_open(struct fx_timing *timing, cudaStream_t stream);
void fx_timing_close(struct fx_timing *timing);

/* fx_timing_try: one that fails is left out. */
void fx_timing_try(struct fx_timing *timing, int number, fx_timed_fn *run, const void *candidate);

/* Microseconds of one run of the fastest. */
double fx_timing_us(const struct fx_timing *timing);

/* fx_timing_noise: allocates n bytes of device memory and fills them with numbers of 1/128 to 2 and
 * either sign, the same at every call: how fast a card multiplies depends on how many bits change.
 */
bool fx_timing_noise(void **to, size_t n, bool bf16, cudaStream_t stream);

#endif
