/* Multi-head attention between few tokens; a block for one image and head.  The mathematics is that
 * of lib/ops/attention.c, in double:
 *   s = q k^T / sqrt(d),  p = softmax(s) over keys,  a = dropout(p),  y = a v.
 * Backward:  dv = a^T dy,  da = dy v^T,  dp = da * mask,  ds = p (dp - sum_key p dp),
 *   dq = ds k / sqrt(d),  dk = ds^T q / sqrt(d). */
#include "dropout.cuh"
#include "kernels.h"
#include "launch.cuh"
#include "sums.cuh"
#include "dense.cuh"

enum { MAX_TOKENS = 16, THREADS = 128, WARPS = THREADS / 32 };

namespace
{

/* Numbers of a pair (query, key). */
struct pairs {
    double of[MAX_TOKENS][MAX_TOKENS];
};

/* The part of a matrix (n, tokens, wide) that belongs to this block: token t from data + t * ld. */
template <class T> struct part {
    T *data;
    int ld;

    __device__ T *token(int t) const
    {
        return data + (size_t)t * (size_t)ld;
    }
};

} // namespace

/* This block's image (grid.x) and head (grid.y) in (n, tokens, columns * c), column `column`. */
template <class T>
static __device__ part<T> part_of(const struct fx_k_attention_shape &a, T *data, int columns,
                                  int column)
{
    size_t row = (size_t)blockIdx.x * (size_t)a.tokens;
    int d = a.c / a.heads;

    return part<T>{ data + row * (size_t)(columns * a.c) + column * a.c + (int)blockIdx.y * d,
                    columns * a.c };
}

/* out (i, j) = scale * x_i . y_j for all pairs of tokens, a warp for each; then a barrier. */
static __device__ void pair_products(const struct fx_k_attention_shape &a, part<const float> x,
                                     part<const float> y, double scale, pairs &out)
{
    int d = a.c / a.heads, lane = (int)threadIdx.x % 32;

    for (int pair = (int)threadIdx.x / 32; pair < a.tokens * a.tokens; pair += WARPS) {
        int i = pair / a.tokens, j = pair % a.tokens;
        double sum = 0;

        for (int c = lane; c < d; c += 32)
            sum += (double)x.token(i)[c] * (double)y.token(j)[c];
        sum = fx_warp_sum(sum);
        if (lane == 0)
            out.of[i][j] = scale * sum;
    }
    __syncthreads();
}

/* Softmax over the keys of each query, a thread for a query. */
static __device__ void softmax_rows(int tokens, pairs &p)
{
    int q = (int)threadIdx.x;

    if (q < tokens) {
        double largest = p.of[q][0], sum = 0;

        for (int t = 1; t < tokens; t++)
            largest = fmax(largest, p.of[q][t]);
        for (int t = 0; t < tokens; t++)
            sum += p.of[q][t] = exp(p.of[q][t] - largest);
        for (int t = 0; t < tokens; t++)
            p.of[q][t] /= sum;
    }
    __syncthreads();
}

/* The factors of dropout; 1 without. */
static __device__ void make_mask(const struct fx_k_attention_shape &a, pairs &mask)
{
    for (int pair = (int)threadIdx.x; pair < a.tokens * a.tokens; pair += THREADS) {
        int q = pair / a.tokens, t = pair % a.tokens;
        int element = ((int)blockIdx.y * a.tokens + q) * a.tokens + t;
        double factor = 1;

        if (a.drop.p > 0)
            factor = (double)fx_dropout_factor(a.drop, 0, a.drop.view.numbers[blockIdx.x],
                                               (uint32_t)element);
        mask.of[q][t] = factor;
    }
}

/* The weights p of this block's image and head, and their mask; complete for all threads. */
static __device__ void weigh(const struct fx_k_attention_shape &a, part<const float> query,
                             part<const float> key, pairs &p, pairs &mask)
{
    make_mask(a, mask);
    pair_products(a, query, key, 1.0 / sqrt((double)(a.c / a.heads)), p);
    softmax_rows(a.tokens, p);
}

static __global__ void __launch_bounds__(THREADS)
    attention(struct fx_k_attention_shape a, const float *qkv, float *y)
{
    __shared__ pairs p, mask;
    part<const float> value = part_of(a, qkv, 3, 2);
    part<float> out = part_of(a, y, 1, 0);
    int d = a.c / a.heads;

    weigh(a, part_of(a, qkv, 3, 0), part_of(a, qkv, 3, 1), p, mask);
    for (int i = (int)threadIdx.x; i < a.tokens * d; i += THREADS) {
        int q = i / d, c = i % d;
        double sum = 0;

        for (int t = 0; t < a.tokens; t++)
            sum += p.of[q][t] * mask.of[q][t] * (double)value.token(t)[c];
        out.token(q)[c] = (float)sum;
    }
}

cudaError_t fx_k_attention(cudaStream_t stream, const struct fx_k_attention_shape *a,
                           const float *qkv, float *y)
{
    return FX_LAUNCH(attention, dim3((unsigned)a->n, (unsigned)a->heads), THREADS, 0, stream, *a,
                     qkv, y);
}

/* ---- backward ------------------------------------------------------------------------------- */

/* From da in ds to ds / sqrt(d), a thread for a query. */
static __device__ void softmax_rows_back(const struct fx_k_attention_shape &a, const pairs &p,
                                         const pairs &mask, pairs &ds)
{
    int q = (int)threadIdx.x;

    if (q < a.tokens) {
        double scale = 1.0 / sqrt((double)(a.c / a.heads)), mean = 0;

        for (int t = 0; t < a.tokens; t++)
            mean += p.of[q][t] * (ds.of[q][t] * mask.of[q][t]);
        for (int t = 0; t < a.tokens; t++)
            ds.of[q][t] = scale * p.of[q][t] * (ds.of[q][t] * mask.of[q][t] - mean);
    }
    __syncthreads();
}

static __global__ void __launch_bounds__(THREADS)
    attention_back(struct fx_k_attention_shape a, const float *qkv, const float *dy,
                   fx_k_grad d_qkv)
{
    __shared__ pairs p, mask, ds;
    part<const float> query = part_of(a, qkv, 3, 0), key = part_of(a, qkv, 3, 1);
    part<const float> value = part_of(a, qkv, 3, 2), grad = part_of(a, dy, 1, 0);
    int d = a.c / a.heads;

    weigh(a, query, key, p, mask);
    pair_products(a, grad, value, 1, ds);
    softmax_rows_back(a, p, mask, ds);
    for (int i = (int)threadIdx.x; i < a.tokens * d; i += THREADS) {
        int t = i / d, c = i % d;
        double dq = 0, dk = 0, dv = 0;

        for (int j = 0; j < a.tokens; j++) {
            dq += ds.of[t][j] * (double)key.token(j)[c];
            dk += ds.of[j][t] * (double)query.token(j)[c];
            dv += p.of[j][t] * mask.of[j][t] * (double)grad.token(j)[c];
        }
        size_t at = (size_t)(query.token(t) - qkv) + (size_t)c;
        fx_grad_put(d_qkv, at, (float)dq);
        fx_grad_put(d_qkv, at + (size_t)a.c, (float)dk);
        fx_grad_put(d_qkv, at + 2 * (size_t)a.c, (float)dv);
    }
}

cudaError_t fx_k_attention_back(cudaStream_t stream, const struct fx_k_attention_shape *a,
                                const float *qkv, const float *dy, struct fx_k_grad d_qkv)
{
    if (!d_qkv.data)
        return cudaSuccess;
    return FX_LAUNCH(attention_back, dim3((unsigned)a->n, (unsigned)a->heads), THREADS, 0, stream,
                     *a, qkv, dy, d_qkv);
}
