/* Convolution weights: their gradients from cuDNN's type to f32, or from parts of the pixels, and
 * the bf16 shadow of masters. */
#include "launch.cuh"
#include "map_block.cuh"

static __host__ __device__ __forceinline__ unsigned weight_blocks(const fx_weight_layout &w)
{
    return (unsigned)(w.merged * w.out * w.kernel * w.kernel) * (unsigned)(w.in / FX_K_BLOCK);
}

/* A thread for eight input channels of a tap of an output channel. */
template <class T>
static __global__ void weight_grad(fx_weight_layout w, const T *fresh, size_t fresh_lane,
                                   fx_k_array grad, bool accumulate)
{
    unsigned i = blockIdx.x * FX_MAP_THREADS + threadIdx.x, in_blocks = w.in / FX_K_BLOCK;

    if (i >= weight_blocks(w))
        return;
    int per_out = w.c_out / w.groups, per_in = w.c_in / w.groups;
    int out = (int)(i / in_blocks / (unsigned)(w.kernel * w.kernel) % (unsigned)w.out);
    /* the first input channel as counted in the graph group of the output channel */
    int in = (int)(i % in_blocks) * FX_K_BLOCK - out / per_out * per_in;
    size_t at = (size_t)i * FX_K_BLOCK;
    float *to = grad.data + blockIdx.z * grad.lane + at;
    fx_map_block g = fx_map_load(fresh + blockIdx.z * fresh_lane + at), old = {};

    if (accumulate)
        old = fx_map_load((const float *)to);
#pragma unroll
    for (int j = 0; j < FX_K_BLOCK; j++)
        g.c[j] = in + j >= 0 && in + j < per_in ? old.c[j] + g.c[j] : 0.0f;
    fx_map_store(to, g);
}

cudaError_t fx_k_weight_grad(const struct fx_k_launch *l, const struct fx_weight_layout *w,
                             const void *fresh, size_t fresh_lane, struct fx_k_array grad,
                             bool accumulate)
{
    dim3 grid((weight_blocks(*w) + FX_MAP_THREADS - 1) / FX_MAP_THREADS, 1, (unsigned)l->n_lanes);

    if (l->bf16)
        return FX_LAUNCH(weight_grad<__nv_bfloat16>, grid, FX_MAP_THREADS, 0, l->stream, *w,
                         (const __nv_bfloat16 *)fresh, fresh_lane, grad, accumulate);
    return FX_LAUNCH(weight_grad<float>, grid, FX_MAP_THREADS, 0, l->stream, *w,
                     (const float *)fresh, fresh_lane, grad, accumulate);
}

/* A thread for a value. */
static __global__ void sum_parts(const float *parts, int n_parts, size_t n, fx_k_array grad,
                                 bool accumulate)
{
    size_t i = (size_t)blockIdx.x * FX_MAP_THREADS + threadIdx.x;
    const float *from = parts + blockIdx.z * (size_t)n_parts * n + i;
    float sum = 0;

    if (i >= n)
        return;
#pragma unroll 4
    for (int part = 0; part < n_parts; part++)
        sum += from[(size_t)part * n];
    float *to = grad.data + blockIdx.z * grad.lane + i;
    *to = accumulate ? *to + sum : sum;
}

cudaError_t fx_k_sum_parts(const struct fx_k_launch *l, const float *parts, int n_parts, size_t n,
                           struct fx_k_array grad, bool accumulate)
{
    dim3 grid((unsigned)((n + FX_MAP_THREADS - 1) / FX_MAP_THREADS), 1, (unsigned)l->n_lanes);

    return FX_LAUNCH(sum_parts, grid, FX_MAP_THREADS, 0, l->stream, parts, n_parts, n, grad,
                     accumulate);
}

/* A parameter may have any number of values: one a thread. */
static __global__ void to_bf16(const float *from, __nv_bfloat16 *to, size_t n)
{
    size_t i = (size_t)blockIdx.x * FX_MAP_THREADS + threadIdx.x;

    if (i < n)
        to[i] = __float2bfloat16_rn(from[i]);
}

cudaError_t fx_k_to_bf16(cudaStream_t stream, const float *from, void *to, size_t n)
{
    return FX_LAUNCH(to_bf16, (unsigned)((n + FX_MAP_THREADS - 1) / FX_MAP_THREADS), FX_MAP_THREADS,
                     0, stream, from, (__nv_bfloat16 *)to, n);
}
