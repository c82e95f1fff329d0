/* Eight channels of a pixel: what a thread reads and writes of a map at once. */
#ifndef FX_KERNELS_MAP_BLOCK_CUH
#define FX_KERNELS_MAP_BLOCK_CUH

#include "kernels.h"

#include <cuda_bf16.h>
#include <cuda_runtime.h>

struct fx_map_block {
    float c[FX_K_BLOCK];
};

/* The address of a block: pixel r, channel c (a multiple of FX_K_BLOCK) of a lane. */
template <class T>
static __device__ __forceinline__ T *fx_map_at(const fx_k_map &map, unsigned lane, size_t r, int c)
{
    size_t group = 0;

    if (map.group_c) {
        group = (size_t)(c / map.group_c) * map.group;
        c %= map.group_c;
    }
    return (T *)map.data + lane * map.lane + group + r * (size_t)map.ld + (size_t)c;
}

static __device__ __forceinline__ fx_map_block fx_map_load(const float *at)
{
    const float4 *quads = reinterpret_cast<const float4 *>(at);
    float4 a = quads[0], b = quads[1];

    return { { a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w } };
}

static __device__ __forceinline__ void fx_map_store(float *at, const fx_map_block &block)
{
    const float *c = block.c;
    float4 *quads = reinterpret_cast<float4 *>(at);

    quads[0] = make_float4(c[0], c[1], c[2], c[3]);
    quads[1] = make_float4(c[4], c[5], c[6], c[7]);
}

struct __align__(16) fx_map_block_bf16
{
    __nv_bfloat16 c[FX_K_BLOCK];
};

static __device__ __forceinline__ fx_map_block fx_map_load(const __nv_bfloat16 *at)
{
    fx_map_block_bf16 packed = *reinterpret_cast<const fx_map_block_bf16 *>(at);
    fx_map_block block;

    for (int i = 0; i < FX_K_BLOCK; i++)
        block.c[i] = __bfloat162float(packed.c[i]);
    return block;
}

static __device__ __forceinline__ void fx_map_store(__nv_bfloat16 *at, const fx_map_block &block)
{
    fx_map_block_bf16 packed;

    for (int i = 0; i < FX_K_BLOCK; i++)
        packed.c[i] = __float2bfloat16_rn(block.c[i]);
    *reinterpret_cast<fx_map_block_bf16 *>(at) = packed;
}

/* One thread for each pixel and block of eight channels of a map, channels fastest, so that a
 * warp's accesses lie side by side; grid.z is the lane. */

enum { FX_MAP_THREADS = 256 };

static inline int fx_map_blocks(int c)
{
    return (c + FX_K_BLOCK - 1) / FX_K_BLOCK;
}

static inline dim3 fx_map_grid(int rows, int c, int n_lanes)
{
    unsigned threads = (unsigned)rows * (unsigned)fx_map_blocks(c);

    return dim3((threads + FX_MAP_THREADS - 1) / FX_MAP_THREADS, 1, (unsigned)n_lanes);
}

/* What the thread is for; row >= rows: nothing. */
struct fx_map_thread_work {
    int row, first; /* pixel; first channel */
    unsigned lane;
};

static __device__ __forceinline__ fx_map_thread_work fx_map_thread(int n_blocks)
{
    unsigned i = blockIdx.x * FX_MAP_THREADS + threadIdx.x, n = (unsigned)n_blocks;

    return { (int)(i / n), (int)(i % n) * FX_K_BLOCK, blockIdx.z };
}

template <class T>
static __device__ __forceinline__ T *fx_map_at(const fx_k_map &map, const fx_map_thread_work &work)
{
    return fx_map_at<T>(map, work.lane, (size_t)work.row, work.first);
}

/* FX_LAUNCH of kernel<T, ...> for the type of maps; the argument list is the kernel's. */
#define FX_MAP_LAUNCH(l, kernel, grid, ...)                                                        \
    ((l)->bf16                                                                                     \
         ? FX_LAUNCH(kernel<__nv_bfloat16>, grid, FX_MAP_THREADS, 0, (l)->stream, __VA_ARGS__)     \
         : FX_LAUNCH(kernel<float>, grid, FX_MAP_THREADS, 0, (l)->stream, __VA_ARGS__))

#endif
