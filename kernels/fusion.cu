/* The experts' features become one: product, weighted and gated sum, mean of tokens; and the
 * residual of their logits; lib/ops/fusion.c. */
#include "kernels.h"
#include "launch.cuh"
#include "sums.cuh"
#include "dense.cuh"

/* ---- product -------------------------------------------------------------------------------- */

/* prod over j != skip of (x_j[i] + shift); skip = -1: over all. */
static __device__ double product_but(const fx_k_inputs &in, double shift, size_t i, int skip)
{
    double product = 1;

    for (int j = 0; j < in.n; j++)
        if (j != skip)
            product *= (double)in.x[j][i] + shift;
    return product;
}

static __global__ void product(fx_k_inputs in, float shift, float *y, size_t n)
{
    size_t i = fx_flat_index();

    if (i < n)
        y[i] = (float)product_but(in, (double)shift, i, -1);
}

cudaError_t fx_k_product(cudaStream_t stream, const struct fx_k_inputs *in, float shift, float *y,
                         size_t n)
{
    return FX_LAUNCH(product, fx_flat_grid(n), FX_FLAT_THREADS, 0, stream, *in, shift, y, n);
}

static __global__ void product_back(fx_k_inputs in, float shift, const float *dy, size_t n)
{
    size_t i = fx_flat_index();

    if (i >= n)
        return;
    for (int k = 0; k < in.n; k++)
        if (in.dx[k].data)
            fx_grad_put(in.dx[k], i, (float)((double)dy[i] * product_but(in, (double)shift, i, k)));
}

cudaError_t fx_k_product_back(cudaStream_t stream, const struct fx_k_inputs *in, float shift,
                              const float *dy, size_t n)
{
    return FX_LAUNCH(product_back, fx_flat_grid(n), FX_FLAT_THREADS, 0, stream, *in, shift, dy, n);
}

/* ---- weighted sum --------------------------------------------------------------------------- */

/* p = softmax(w), by the block's first thread for all. */
static __device__ void share_softmax(int n, const float *w, double *p)
{
    if (threadIdx.x == 0) {
        double largest = (double)w[0], sum = 0;

        for (int k = 1; k < n; k++)
            largest = fmax(largest, (double)w[k]);
        for (int k = 0; k < n; k++)
            sum += exp((double)w[k] - largest);
        for (int k = 0; k < n; k++)
            p[k] = exp((double)w[k] - largest) / sum;
    }
    __syncthreads();
}

static __global__ void weighted_sum(fx_k_inputs in, const float *w, float *y, size_t n)
{
    __shared__ double p[FX_NODE_MAX_INPUTS];
    size_t i = fx_flat_index();
    double sum = 0;

    share_softmax(in.n, w, p);
    for (int k = 0; i < n && k < in.n; k++)
        sum += p[k] * (double)in.x[k][i];
    if (i < n)
        y[i] = (float)sum;
}

cudaError_t fx_k_weighted_sum(cudaStream_t stream, const struct fx_k_inputs *in, const float *w,
                              float *y, size_t n)
{
    return FX_LAUNCH(weighted_sum, fx_flat_grid(n), FX_FLAT_THREADS, 0, stream, *in, w, y, n);
}

namespace
{

/* One block's part of sum_i dy_i x_k,i for every input k: the gradient of p_k. */
struct weight_sums {
    double of[FX_NODE_MAX_INPUTS];
};

} // namespace

static unsigned count_weight_sums(size_t n)
{
    return fx_flat_grid(n).x;
}

size_t fx_k_weighted_sum_scratch(size_t n)
{
    return count_weight_sums(n) * sizeof(weight_sums);
}

static __global__ void weighted_sum_back(fx_k_inputs in, const float *w, const float *dy, size_t n,
                                         weight_sums *parts)
{
    __shared__ double p[FX_NODE_MAX_INPUTS];
    size_t i = fx_flat_index();
    double grad = i < n ? (double)dy[i] : 0;

    share_softmax(in.n, w, p);
    for (int k = 0; k < in.n; k++) {
        double part = fx_block_sum(i < n ? grad * (double)in.x[k][i] : 0);

        if (threadIdx.x == 0)
            parts[blockIdx.x].of[k] = part;
        if (in.dx[k].data && i < n)
            fx_grad_put(in.dx[k], i, (float)(p[k] * grad));
    }
}

/* With g_k the sum of all parts: dw_k = p_k (g_k - sum_j p_j g_j).  A warp for each input. */
static __global__ void weight_gradients(int n, const float *w, const weight_sums *parts,
                                        unsigned n_parts, fx_k_grad d_w)
{
    __shared__ double p[FX_NODE_MAX_INPUTS], g[FX_NODE_MAX_INPUTS];
    unsigned k = threadIdx.x / 32;
    double sum = 0, mean = 0;

    share_softmax(n, w, p);
    for (unsigned i = threadIdx.x % 32; i < n_parts; i += 32)
        sum += parts[i].of[k];
    sum = fx_warp_sum(sum);
    if (threadIdx.x % 32 == 0)
        g[k] = sum;
    __syncthreads();
    for (int j = 0; j < n; j++)
        mean += p[j] * g[j];
    if (threadIdx.x % 32 == 0)
        fx_grad_put(d_w, k, (float)(p[k] * (g[k] - mean)));
}

cudaError_t fx_k_weighted_sum_back(cudaStream_t stream, const struct fx_k_inputs *in,
                                   const float *w, const float *dy, size_t n, struct fx_k_grad d_w,
                                   void *scratch)
{
    weight_sums *parts = (weight_sums *)scratch;
    cudaError_t error = FX_LAUNCH(weighted_sum_back, fx_flat_grid(n), FX_FLAT_THREADS, 0, stream,
                                  *in, w, dy, n, parts);

    if (error != cudaSuccess || !d_w.data)
        return error;
    return FX_LAUNCH(weight_gradients, 1, (unsigned)in->n * 32, 0, stream, in->n, w, parts,
                     count_weight_sums(n), d_w);
}

/* ---- gated sum ------------------------------------------------------------------------------ */

/* A block for each row. */
static __global__ void gated_sum(fx_k_inputs in, int c, float *y)
{
    __shared__ double p[FX_NODE_MAX_INPUTS];
    int n = in.n - 1;
    size_t row = blockIdx.x;

    share_softmax(n, in.x[n] + row * (size_t)n, p);
    for (size_t j = threadIdx.x; j < (size_t)c; j += blockDim.x) {
        size_t i = row * (size_t)c + j;
        double sum = 0;

        for (int k = 0; k < n; k++)
            sum += p[k] * (double)in.x[k][i];
        y[i] = (float)sum;
    }
}

cudaError_t fx_k_gated_sum(cudaStream_t stream, const struct fx_k_inputs *in, int rows, int c,
                           float *y)
{
    return FX_LAUNCH(gated_sum, (unsigned)rows, FX_FLAT_THREADS, 0, stream, *in, c, y);
}

/* With d_k = sum_j dy_j x_k,j over the row: dx_k = p_k dy, dg_k = p_k (d_k - sum_j p_j d_j). */
static __global__ void gated_sum_back(fx_k_inputs in, int c, const float *dy)
{
    __shared__ double p[FX_NODE_MAX_INPUTS];
    double d[FX_NODE_MAX_INPUTS], mean = 0;
    int n = in.n - 1;
    size_t row = blockIdx.x;

    share_softmax(n, in.x[n] + row * (size_t)n, p);
    for (int k = 0; k < n; k++) {
        double sum = 0;

        for (size_t j = threadIdx.x; j < (size_t)c; j += blockDim.x) {
            size_t i = row * (size_t)c + j;

            sum += (double)dy[i] * (double)in.x[k][i];
            if (in.dx[k].data)
                fx_grad_put(in.dx[k], i, (float)(p[k] * (double)dy[i]));
        }
        d[k] = fx_block_sum(sum);
        mean += p[k] * d[k];
    }
    for (int k = 0; threadIdx.x == 0 && in.dx[n].data && k < n; k++)
        fx_grad_put(in.dx[n], row * (size_t)n + (size_t)k, (float)(p[k] * (d[k] - mean)));
}

cudaError_t fx_k_gated_sum_back(cudaStream_t stream, const struct fx_k_inputs *in, int rows, int c,
                                const float *dy)
{
    return FX_LAUNCH(gated_sum_back, (unsigned)rows, FX_FLAT_THREADS, 0, stream, *in, c, dy);
}

/* ---- mean of tokens ------------------------------------------------------------------------- */

static __global__ void token_mean(const float *x, size_t n, int tokens, int c, float *y)
{
    size_t i = fx_flat_index(), width = (size_t)c;
    double sum = 0;

    if (i >= n)
        return;
    for (size_t k = 0; k < (size_t)tokens; k++)
        sum += (double)x[(i / width * (size_t)tokens + k) * width + i % width];
    y[i] = (float)(sum / tokens);
}

cudaError_t fx_k_token_mean(cudaStream_t stream, const float *x, int rows, int tokens, int c,
                            float *y)
{
    size_t n = (size_t)rows * (size_t)c;

    return FX_LAUNCH(token_mean, fx_flat_grid(n), FX_FLAT_THREADS, 0, stream, x, n, tokens, c, y);
}

static __global__ void token_mean_back(const float *dy, size_t n, int tokens, int c, fx_k_grad dx)
{
    size_t i = fx_flat_index(), width = (size_t)c;

    if (i < n)
        fx_grad_put(dx, i, dy[i / (width * (size_t)tokens) * width + i % width] / (float)tokens);
}

cudaError_t fx_k_token_mean_back(cudaStream_t stream, const float *dy, int rows, int tokens, int c,
                                 struct fx_k_grad dx)
{
    size_t n = (size_t)rows * (size_t)tokens * (size_t)c;

    if (!dx.data)
        return cudaSuccess;
    return FX_LAUNCH(token_mean_back, fx_flat_grid(n), FX_FLAT_THREADS, 0, stream, dy, n, tokens, c,
                     dx);
}

/* ---- residual ------------------------------------------------------------------------------- */

static __global__ void residual(fx_k_inputs in, float *y, size_t n)
{
    size_t i = fx_flat_index();
    double sum = 0;

    for (int k = 1; i < n && k < in.n; k++)
        sum += (double)in.x[k][i];
    if (i < n)
        y[i] = (float)((double)in.x[0][i] + sum / (in.n - 1));
}

cudaError_t fx_k_residual(cudaStream_t stream, const struct fx_k_inputs *in, float *y, size_t n)
{
    return FX_LAUNCH(residual, fx_flat_grid(n), FX_FLAT_THREADS, 0, stream, *in, y, n);
}

static __global__ void residual_back(fx_k_inputs in, const float *dy, size_t n)
{
    size_t i = fx_flat_index();

    for (int k = 0; i < n && k < in.n; k++)
        if (in.dx[k].data)
            fx_grad_put(in.dx[k], i, k == 0 ? dy[i] : dy[i] / (float)(in.n - 1));
}

cudaError_t fx_k_residual_back(cudaStream_t stream, const struct fx_k_inputs *in, const float *dy,
                               size_t n)
{
    return FX_LAUNCH(residual_back, fx_flat_grid(n), FX_FLAT_THREADS, 0, stream, *in, dy, n);
}
