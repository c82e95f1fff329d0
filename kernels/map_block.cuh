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

#endif
