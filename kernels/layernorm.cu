/* LayerNorm over the channels of each row; the mathematics is that of lib/ops/norm.c.
 * A warp for a row (threadIdx.x the lane, threadIdx.y the warp), everything in double. */
#include "kernels.h"
#include "launch.cuh"
#include "sums.cuh"
#include "dense.cuh"

namespace
{

struct norm_rows {
    fx_k_array x, weight;
    int rows, c;
    double eps;
};

struct moments {
    double mean, scale; /* scale: 1 / standard deviation */
};

} // namespace

/* Of this warp's row, in every lane. */
static __device__ moments row_moments(const norm_rows &k, const float *x)
{
    double sum = 0, squares = 0;

    for (int c = (int)threadIdx.x; c < k.c; c += 32)
        sum += (double)x[c];
    double mean = fx_warp_sum(sum) / k.c;
    for (int c = (int)threadIdx.x; c < k.c; c += 32)
        squares += ((double)x[c] - mean) * ((double)x[c] - mean);
    return moments{ mean, 1.0 / sqrt(fx_warp_sum(squares) / k.c + k.eps) };
}

enum { ROWS = 4 }; /* of a block that works row by row */

static unsigned row_blocks(int rows)
{
    return (unsigned)(rows + ROWS - 1) / ROWS;
}

static __global__ void __launch_bounds__(32 * ROWS)
    layernorm(norm_rows k, fx_k_array bias, fx_k_array y)
{
    int row = (int)(blockIdx.x * ROWS + threadIdx.y);
    size_t at = (size_t)row * (size_t)k.c;

    if (row >= k.rows)
        return;
    const float *x = fx_lane_of(k.x) + at;
    moments m = row_moments(k, x);
    for (int c = (int)threadIdx.x; c < k.c; c += 32)
        fx_lane_of(y)[at + (size_t)c] =
            (float)((double)fx_lane_of(k.weight)[c] * (((double)x[c] - m.mean) * m.scale) +
                    (double)fx_lane_of(bias)[c]);
}

cudaError_t fx_k_layernorm(const struct fx_k_launch *l, struct fx_k_array x, int rows, int c,
                           float eps, struct fx_k_array weight, struct fx_k_array bias,
                           struct fx_k_array y)
{
    norm_rows k = { x, weight, rows, c, (double)eps };
    dim3 grid(row_blocks(rows), 1, (unsigned)l->n_lanes);

    return FX_LAUNCH(layernorm, grid, dim3(32, ROWS), 0, l->stream, k, bias, y);
}

/* ---- backward ------------------------------------------------------------------------------- */

/* With g = dy * weight: dx = (g - mean(g) - xhat * mean(g * xhat)) / std. */
static __global__ void __launch_bounds__(32 * ROWS)
    layernorm_back_rows(norm_rows k, fx_k_array dy, fx_k_grad dx)
{
    int row = (int)(blockIdx.x * ROWS + threadIdx.y);
    size_t at = (size_t)row * (size_t)k.c;
    double mean_g = 0, mean_gx = 0;

    if (row >= k.rows)
        return;
    const float *x = fx_lane_of(k.x) + at, *grad = fx_lane_of(dy) + at;
    const float *weight = fx_lane_of(k.weight);
    moments m = row_moments(k, x);
    for (int c = (int)threadIdx.x; c < k.c; c += 32) {
        double g = (double)grad[c] * (double)weight[c];

        mean_g += g;
        mean_gx += g * (((double)x[c] - m.mean) * m.scale);
    }
    mean_g = fx_warp_sum(mean_g) / k.c;
    mean_gx = fx_warp_sum(mean_gx) / k.c;
    for (int c = (int)threadIdx.x; c < k.c; c += 32) {
        double g = (double)grad[c] * (double)weight[c];
        double xhat = ((double)x[c] - m.mean) * m.scale;

        fx_grad_put(dx, at + (size_t)c, (float)((g - mean_g - xhat * mean_gx) * m.scale));
    }
}

enum { TALL = 32 }; /* warps of a block that sums 32 columns */

/* d_weight = sum over rows of dy * xhat, d_bias = sum of dy.  Every block finds the moments of all
 * rows again: the rows lie in the L2 cache, and no memory is needed between two launches. */
static __global__ void __launch_bounds__(32 * TALL)
    layernorm_back_columns(norm_rows k, fx_k_array dy, fx_k_grad d_weight, fx_k_grad d_bias)
{
    int column = (int)(blockIdx.x * 32 + threadIdx.x);
    double weight_sum = 0, bias_sum = 0;

    for (int row = (int)threadIdx.y; row < k.rows; row += TALL) {
        size_t at = (size_t)row * (size_t)k.c;
        const float *x = fx_lane_of(k.x) + at;
        moments m = row_moments(k, x);

        if (column < k.c) {
            double d = (double)fx_lane_of(dy)[at + (size_t)column];

            weight_sum += d * (((double)x[column] - m.mean) * m.scale);
            bias_sum += d;
        }
    }
    weight_sum = fx_column_sum<TALL>(weight_sum);
    bias_sum = fx_column_sum<TALL>(bias_sum);
    if (threadIdx.y > 0 || column >= k.c)
        return;
    if (d_weight.data)
        fx_grad_put(d_weight, (size_t)column, (float)weight_sum);
    if (d_bias.data)
        fx_grad_put(d_bias, (size_t)column, (float)bias_sum);
}

cudaError_t fx_k_layernorm_back(const struct fx_k_launch *l, struct fx_k_array x,
                                struct fx_k_array dy, int rows, int c, float eps,
                                struct fx_k_array weight, struct fx_k_grad dx,
                                struct fx_k_grad d_weight, struct fx_k_grad d_bias)
{
    norm_rows k = { x, weight, rows, c, (double)eps };
    dim3 by_row(row_blocks(rows), 1, (unsigned)l->n_lanes);
    dim3 by_column((unsigned)(c + 31) / 32, 1, (unsigned)l->n_lanes);
    cudaError_t error = cudaSuccess;

    if (d_weight.data || d_bias.data)
        error = FX_LAUNCH(layernorm_back_columns, by_column, dim3(32, TALL), 0, l->stream, k, dy,
                          d_weight, d_bias);
    if (error == cudaSuccess && dx.data)
        error = FX_LAUNCH(layernorm_back_rows, by_row, dim3(32, ROWS), 0, l->stream, k, dy, dx);
    return error;
}
