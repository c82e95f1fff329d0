/* The last of several blocks of threads: it finds in memory what all of them have written, so that
 * what is to be done once behind them needs no kernel of its own. */
#ifndef FX_KERNELS_LAST_BLOCK_CUH
#define FX_KERNELS_LAST_BLOCK_CUH

#include <cuda_runtime.h>

/* Whether this block is the last of `n` to come here, the same for all its threads, which all call
 * it.  *ticket: device memory of these blocks alone, 0 before and again behind the last.  Fences of
 * one thread are enough, as barriers pass on what they order (PTX, causality order). */
static __device__ __forceinline__ bool fx_is_last_block(unsigned *ticket, unsigned n)
{
    __shared__ bool is_last;

    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        is_last = atomicInc(ticket, n - 1) == n - 1;
        __threadfence();
    }
    __syncthreads();
    return is_last;
}

#endif
