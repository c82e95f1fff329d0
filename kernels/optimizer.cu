/* The end of a step: norm of the gradients, guards and clip, AdamW or SGD, commit of the running
 * statistics.  The mathematics is that of lib/backend/host/step.c and lib/ops/optimizer.c;
 * nothing comes back to the host in between. */
#include "kernels.h"
#include "launch.cuh"
#include "sums.cuh"
#include "dense.cuh"

#include <cuda_bf16.h>

enum { THREADS = 256, NORM_THREADS = 1024 };

/* ---- norm ----------------------------------------------------------------------------------- */

/* Values of a chunk up to here can be loaded by fours. */
static __device__ uint64_t end_of_fours(const fx_chunk &chunk)
{
    return chunk.begin % 4 == 0 ? chunk.end - chunk.end % 4 : chunk.begin;
}

static __device__ double square(float x)
{
    return (double)x * (double)x;
}

static __global__ void __launch_bounds__(THREADS)
    square_sums(const fx_chunk *chunks, const float *grads, double *partials)
{
    fx_chunk chunk = chunks[blockIdx.x];
    uint64_t fours = end_of_fours(chunk);
    double sum = 0;

    for (uint64_t i = chunk.begin + 4 * threadIdx.x; i < fours; i += 4 * THREADS) {
        float4 g = *reinterpret_cast<const float4 *>(grads + i);

        sum += (square(g.x) + square(g.y)) + (square(g.z) + square(g.w));
    }
    for (uint64_t i = fours + threadIdx.x; i < chunk.end; i += THREADS)
        sum += square(grads[i]);
    sum = fx_block_sum(sum);
    if (threadIdx.x == 0)
        partials[blockIdx.x] = sum;
}

cudaError_t fx_k_square_sums(cudaStream_t stream, const struct fx_chunk *chunks, size_t n_chunks,
                             const float *grads, double *partials)
{
    if (n_chunks == 0)
        return cudaSuccess;
    return FX_LAUNCH(square_sums, (unsigned)n_chunks, THREADS, 0, stream, chunks, grads, partials);
}

/* torch.nn.utils.clip_grad_norm_: min(1, max_norm / (norm + 1e-6)). */
static __device__ double clip_coefficient(double max_norm, double norm)
{
    return fmin(1.0, max_norm / (norm + 1e-6));
}

/* sums: of each group's squares. */
static __device__ void finish_norms(const double sums[FX_N_GROUPS], const fx_k_update &update,
                                    const fx_losses &losses, int not_finite, fx_k_result *result)
{
    bool per_group = false;
    double total = 0;

    for (int g = 0; g < FX_N_GROUPS; g++) {
        per_group = per_group || update.clip_group[g] > 0;
        total += sums[g];
    }
    double norm = update.grad_scale * sqrt(total);
    for (int g = 0; g < FX_N_GROUPS; g++) {
        double clip = per_group ? update.clip_group[g] : update.clip;
        double scale = update.grad_scale;

        if (clip > 0)
            scale *= clip_coefficient(clip, per_group ? update.grad_scale * sqrt(sums[g]) : norm);
        result->scale[g] = (float)scale;
    }
    result->grad_norm = norm;
    if (result->skip == 0)
        result->skip = !isfinite(losses.total) ? 1 : !isfinite(norm) ? 2 : not_finite ? 3 : 0;
}

static __global__ void __launch_bounds__(NORM_THREADS)
    norms(const fx_chunk *chunks, size_t n_chunks, const double *partials,
          const fx_k_update *update, const fx_losses *losses, const int *not_finite,
          fx_k_result *result)
{
    double sums[FX_N_GROUPS] = { 0 };

    for (size_t i = threadIdx.x; i < n_chunks; i += NORM_THREADS) {
        int group = chunks[i].group;
        double partial = partials[i];

#pragma unroll
        for (int g = 0; g < FX_N_GROUPS; g++)
            if (g == group)
                sums[g] += partial;
    }
#pragma unroll
    for (int g = 0; g < FX_N_GROUPS; g++)
        sums[g] = fx_block_sum(sums[g]);
    if (threadIdx.x == 0)
        finish_norms(sums, *update, *losses, *not_finite, result);
}

cudaError_t fx_k_norms(cudaStream_t stream, const struct fx_chunk *chunks, size_t n_chunks,
                       const double *partials, const struct fx_k_update *update,
                       const struct fx_losses *losses, const int *not_finite,
                       struct fx_k_result *result)
{
    return FX_LAUNCH(norms, 1, NORM_THREADS, 0, stream, chunks, n_chunks, partials, update, losses,
                     not_finite, result);
}

/* ---- optimizer ------------------------------------------------------------------------------ */

namespace
{

/* A parameter with its moments; SGD uses m only. */
struct element {
    float p, m, v;
};

struct adamw {
    enum { HAS_V = true };
    fx_adamw s;

    __device__ adamw(const fx_k_update &u, int group, float gradient_scale) : s(u.adamw[group])
    {
        s.scale = gradient_scale;
    }

    __device__ void step(element &e, float gradient) const
    {
        float g = s.scale * gradient;

        e.m = s.beta1 * e.m + s.one_minus_beta1 * g;
        e.v = s.beta2 * e.v + s.one_minus_beta2 * g * g;
        e.p = s.weight_decay_factor * e.p -
              s.step_size * e.m / (sqrtf(e.v) / s.sqrt_bias_correction2 + s.eps);
    }
};

struct sgd {
    enum { HAS_V = false };
    fx_sgd_momentum s;

    __device__ sgd(const fx_k_update &u, int group, float gradient_scale) : s(u.sgd[group])
    {
        s.scale = gradient_scale;
    }

    __device__ void step(element &e, float gradient) const
    {
        float g = s.scale * gradient + s.weight_decay * e.p;

        e.m = s.momentum * e.m + g;
        e.p -= s.lr * (s.nesterov ? g + s.momentum * e.m : e.m);
    }
};

/* The arenas that an update changes, and the gradients. */
struct arenas {
    float *values, *exp_avg, *exp_avg_sq;
    const float *grads;
    __nv_bfloat16 *shadow; /* NULL: none */
};

struct alignas(8) four_bf16 {
    __nv_bfloat16 x, y, z, w;
};

} // namespace

static __device__ float4 &four_at(float *base, uint64_t i)
{
    return *reinterpret_cast<float4 *>(base + i);
}

template <class Rule>
static __device__ void step_four(const arenas &a, const Rule &rule, uint64_t i)
{
    float4 g = *reinterpret_cast<const float4 *>(a.grads + i);
    float4 p = four_at(a.values, i), m = four_at(a.exp_avg, i), v = {};

    if (Rule::HAS_V)
        v = four_at(a.exp_avg_sq, i);
    element x = { p.x, m.x, v.x }, y = { p.y, m.y, v.y };
    element z = { p.z, m.z, v.z }, w = { p.w, m.w, v.w };
    rule.step(x, g.x);
    rule.step(y, g.y);
    rule.step(z, g.z);
    rule.step(w, g.w);
    four_at(a.values, i) = make_float4(x.p, y.p, z.p, w.p);
    four_at(a.exp_avg, i) = make_float4(x.m, y.m, z.m, w.m);
    if (Rule::HAS_V)
        four_at(a.exp_avg_sq, i) = make_float4(x.v, y.v, z.v, w.v);
    if (a.shadow)
        *reinterpret_cast<four_bf16 *>(a.shadow +
                                       i) = { __float2bfloat16_rn(x.p), __float2bfloat16_rn(y.p),
                                              __float2bfloat16_rn(z.p), __float2bfloat16_rn(w.p) };
}

template <class Rule> static __device__ void step_one(const arenas &a, const Rule &rule, uint64_t i)
{
    element e = { a.values[i], a.exp_avg[i], Rule::HAS_V ? a.exp_avg_sq[i] : 0 };

    rule.step(e, a.grads[i]);
    a.values[i] = e.p;
    a.exp_avg[i] = e.m;
    if (Rule::HAS_V)
        a.exp_avg_sq[i] = e.v;
    if (a.shadow)
        a.shadow[i] = __float2bfloat16_rn(e.p);
}

template <class Rule>
static __device__ void step_chunk(const arenas &a, const Rule &rule, const fx_chunk &chunk)
{
    uint64_t fours = end_of_fours(chunk);

    for (uint64_t i = chunk.begin + 4 * threadIdx.x; i < fours; i += 4 * THREADS)
        step_four(a, rule, i);
    for (uint64_t i = fours + threadIdx.x; i < chunk.end; i += THREADS)
        step_one(a, rule, i);
}

static __global__ void __launch_bounds__(THREADS)
    optimize(const fx_chunk *chunks, const fx_k_update *update, const fx_k_result *result, arenas a)
{
    if (result->skip)
        return;
    fx_chunk chunk = chunks[blockIdx.x];
    if (update->is_sgd)
        step_chunk(a, sgd(*update, chunk.group, result->scale[chunk.group]), chunk);
    else
        step_chunk(a, adamw(*update, chunk.group, result->scale[chunk.group]), chunk);
}

cudaError_t fx_k_optimize(cudaStream_t stream, const struct fx_chunk *chunks, size_t n_chunks,
                          const struct fx_k_update *update, const struct fx_k_result *result,
                          float *values, const float *grads, float *exp_avg, float *exp_avg_sq,
                          void *shadow)
{
    arenas a = { values, exp_avg, exp_avg_sq, grads, (__nv_bfloat16 *)shadow };

    if (n_chunks == 0)
        return cudaSuccess;
    return FX_LAUNCH(optimize, (unsigned)n_chunks, THREADS, 0, stream, chunks, update, result, a);
}

/* ---- running statistics --------------------------------------------------------------------- */

static __global__ void running_commit(const fx_k_result *result, const float *pending,
                                      float *running, size_t n)
{
    size_t i = fx_flat_index();

    if (i < n && !result->skip)
        running[i] = pending[i];
}

cudaError_t fx_k_running_commit(cudaStream_t stream, const struct fx_k_result *result,
                                const float *pending, float *running, size_t n)
{
    return FX_LAUNCH(running_commit, fx_flat_grid(n), FX_FLAT_THREADS, 0, stream, result, pending,
                     running, n);
}

/* ---- averages ------------------------------------------------------------------------------- */

static __global__ void average_step(const fx_k_update *update, const fx_k_result *result,
                                    float *average, const float *value, size_t n)
{
    size_t i = fx_flat_index();

    if (i < n && !result->skip)
        average[i] += update->average_step * (value[i] - average[i]);
}

cudaError_t fx_k_average(cudaStream_t stream, const struct fx_k_update *update,
                         const struct fx_k_result *result, float *average, const float *value,
                         size_t n)
{
    if (n == 0)
        return cudaSuccess;
    return FX_LAUNCH(average_step, fx_flat_grid(n), FX_FLAT_THREADS, 0, stream, update, result,
                     average, value, n);
}

static __global__ void swap_floats(float *a, float *b, size_t n)
{
    size_t i = fx_flat_index();

    if (i >= n)
        return;
    float kept = a[i];
    a[i] = b[i];
    b[i] = kept;
}

cudaError_t fx_k_swap(cudaStream_t stream, float *a, float *b, size_t n)
{
    if (n == 0)
        return cudaSuccess;
    return FX_LAUNCH(swap_floats, fx_flat_grid(n), FX_FLAT_THREADS, 0, stream, a, b, n);
}
