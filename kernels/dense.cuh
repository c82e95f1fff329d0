/* What the kernels of dense operators share: one thread a value, and how a gradient is written. */
#ifndef FX_KERNELS_DENSE_CUH
#define FX_KERNELS_DENSE_CUH

#include "kernels.h"
#include "launch.cuh"

enum { FX_FLAT_THREADS = 256 };

/* Blocks of FX_FLAT_THREADS for n values in each of so many parts (grid.y) and lanes (grid.z). */
static inline dim3 fx_flat_grid(size_t n, int n_parts = 1, int n_lanes = 1)
{
    size_t blocks = (n + FX_FLAT_THREADS - 1) / FX_FLAT_THREADS;

    return dim3(blocks > 0 ? (unsigned)blocks : 1, (unsigned)n_parts, (unsigned)n_lanes);
}

/* The value that is this thread's; may be n or more. */
static __device__ __forceinline__ size_t fx_flat_index()
{
    return (size_t)blockIdx.x * FX_FLAT_THREADS + threadIdx.x;
}

/* The values of the lane (grid.z) that this block works on. */
static __device__ __forceinline__ float *fx_lane_of(const fx_k_array &a)
{
    return a.data + blockIdx.z * a.lane;
}

/* Value i of a gradient of this block's lane: = or +=. */
static __device__ __forceinline__ void fx_grad_put(const fx_k_grad &grad, size_t i, float value)
{
    float *at = grad.data + blockIdx.z * grad.lane + i;

    *at = grad.add ? *at + value : value;
}

#endif
