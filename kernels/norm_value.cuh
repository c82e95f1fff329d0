/* What BATCHNORM makes of a value on its way forward and of a gradient on its way back. */
#ifndef FX_KERNELS_NORM_VALUE_CUH
#define FX_KERNELS_NORM_VALUE_CUH

#include "norm_rows.cuh"

/* A norm's coefficients for one channel: norm(x) = scale * x + shift. */
struct fx_norm_channel {
    double mean, invstd, scale, shift;
};

static __device__ __forceinline__ fx_norm_channel fx_norm_channel_of(const fx_k_norm &norm,
                                                                     unsigned lane, int c)
{
    double var = (double)norm.var.data[lane * norm.var.lane + c];
    double weight = (double)norm.weight.data[lane * norm.weight.lane + c];
    double bias = (double)norm.bias.data[lane * norm.bias.lane + c];
    fx_norm_channel k;

    k.mean = (double)norm.mean.data[lane * norm.mean.lane + c];
    k.invstd = 1.0 / sqrt(var + (double)norm.eps);
    k.scale = weight * k.invstd;
    k.shift = fma(-k.mean, k.scale, bias); /* the same bits in every kernel */
    return k;
}

/* In shared memory: the coefficients of all channels of a block of threads. */
struct __align__(16) fx_norm_table
{
    float scale[FX_NORM_MAX_WIDTH * FX_K_BLOCK];
    float shift[FX_NORM_MAX_WIDTH * FX_K_BLOCK];
    float mean[FX_NORM_MAX_WIDTH * FX_K_BLOCK];
};

/* Fills it for a lane; zeros beyond the last channel.  All threads of the block call it; it ends
 * with a barrier. */
static __device__ __forceinline__ void fx_norm_fill(const fx_k_norm &norm, const fx_norm_cut &cut,
                                                    unsigned lane, fx_norm_table *table)
{
    int n = cut.width * FX_K_BLOCK, first = cut.first + (int)blockIdx.x * n;

    for (int i = (int)threadIdx.x; i < n; i += FX_NORM_THREADS) {
        fx_norm_channel k = {};

        if (first + i < cut.c)
            k = fx_norm_channel_of(norm, lane, first + i);
        table->scale[i] = (float)k.scale;
        table->shift[i] = (float)k.shift;
        table->mean[i] = (float)k.mean;
    }
    __syncthreads();
}

/* norm(x): the same bits wherever the sign decides. */
static __device__ __forceinline__ float fx_norm_value(float scale, float x, float shift)
{
    return __fmaf_rn(scale, x, shift);
}

/* x becomes norm(x), or relu(norm(x)). */
template <bool RELU>
static __device__ __forceinline__ void fx_norm_push(const fx_map_block &scale,
                                                    const fx_map_block &shift, fx_map_block *x)
{
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++) {
        x->c[i] = fx_norm_value(scale.c[i], x->c[i], shift.c[i]);
        if (RELU && x->c[i] <= 0.0f)
            x->c[i] = 0.0f;
    }
}

/* The gradient g of norm(x) behind ReLU, from that of its result. */
static __device__ __forceinline__ void fx_norm_pull(const fx_map_block &scale,
                                                    const fx_map_block &shift,
                                                    const fx_map_block &x, fx_map_block *g)
{
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++)
        if (fx_norm_value(scale.c[i], x.c[i], shift.c[i]) <= 0.0f)
            g->c[i] = 0.0f;
}

/* Writes a block of an exact map: zeros beyond channel c. */
template <class T>
static __device__ __forceinline__ void fx_norm_store_exact(T *to, int first, int c,
                                                           fx_map_block block)
{
    if (first + FX_K_BLOCK > c)
#pragma unroll
        for (int i = 0; i < FX_K_BLOCK; i++)
            block.c[i] = first + i < c ? block.c[i] : 0.0f;
    fx_map_store(to, block);
}

static __device__ __forceinline__ void fx_norm_put(float *to, float value)
{
    *to = value;
}

static __device__ __forceinline__ void fx_norm_put(__nv_bfloat16 *to, float value)
{
    *to = __float2bfloat16_rn(value);
}

/* Adds to a block of a map of which channels from c on belong to others: they are not written. */
template <class T>
static __device__ __forceinline__ void fx_norm_add_to(T *to, int first, int c,
                                                      const fx_map_block &old, fx_map_block block)
{
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++)
        block.c[i] += old.c[i];
    if (first + FX_K_BLOCK <= c) {
        fx_map_store(to, block);
        return;
    }
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++)
        if (first + i < c)
            fx_norm_put(to + i, block.c[i]);
}

#endif
