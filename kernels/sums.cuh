/* Sums over a warp, a block and the columns of a block, in an order that never changes. */
#ifndef FX_KERNELS_SUMS_CUH
#define FX_KERNELS_SUMS_CUH

#include <cuda_runtime.h>

/* The sum over a warp, the same bits in every lane; all 32 take part. */
static __device__ __forceinline__ double fx_warp_sum(double value)
{
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, distance);
    return value;
}

/* The sum over a block of whole warps in x, in every thread; all take part. */
static __device__ __forceinline__ double fx_block_sum(double value)
{
    __shared__ double warps[32];
    double sum = 0;

    value = fx_warp_sum(value);
    __syncthreads(); /* an earlier sum may still be read */
    if (threadIdx.x % 32 == 0)
        warps[threadIdx.x / 32] = value;
    __syncthreads();
    for (unsigned i = 0; i < blockDim.x / 32; i++)
        sum += warps[i];
    return sum;
}

/* In a block of (32, ROWS) threads: the sum over y of what the threads of equal x have; for the
 * threads of y = 0. */
template <int ROWS> static __device__ __forceinline__ double fx_column_sum(double value)
{
    __shared__ double rows[ROWS][32];
    double sum = 0;

    __syncthreads();
    rows[threadIdx.y][threadIdx.x] = value;
    __syncthreads();
    for (int i = 0; threadIdx.y == 0 && i < ROWS; i++)
        sum += rows[i][threadIdx.x];
    return sum;
}

#endif
