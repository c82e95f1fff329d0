/* Vectors between the layers of fusion module and classifiers: bias and ReLU, sum, concatenation,
 * stacking, dropout.  The mathematics is that of lib/ops/{linear,add,concat,fusion,dropout}.c. */
#include "dropout.cuh"
#include "kernels.h"
#include "launch.cuh"
#include "sums.cuh"
#include "dense.cuh"

/* ---- bias and ReLU -------------------------------------------------------------------------- */

static __global__ void bias_act(fx_k_array y, size_t n, int c, fx_k_array bias, bool relu)
{
    size_t i = fx_flat_index();

    if (i >= n)
        return;
    float sum = fx_lane_of(y)[i] + fx_lane_of(bias)[i % (size_t)c];
    fx_lane_of(y)[i] = relu && sum < 0 ? 0 : sum;
}

cudaError_t fx_k_bias_act(const struct fx_k_launch *l, struct fx_k_array y, int rows, int c,
                          struct fx_k_array bias, bool relu)
{
    size_t n = (size_t)rows * (size_t)c;

    return FX_LAUNCH(bias_act, fx_flat_grid(n, 1, l->n_lanes), FX_FLAT_THREADS, 0, l->stream, y, n,
                     c, bias, relu);
}

enum { COLUMNS = 32, ROWS = 16 }; /* of a block that sums columns: threads in x and y */

namespace
{

struct bias_back {
    fx_k_array y, dy, dz;
    fx_k_grad d_bias;
    int rows, c;
    bool relu;
};

} // namespace

static __global__ void __launch_bounds__(COLUMNS *ROWS) bias_act_back(bias_back k)
{
    int column = (int)(blockIdx.x * COLUMNS + threadIdx.x);
    double sum = 0;

    for (int row = (int)threadIdx.y; column < k.c && row < k.rows; row += ROWS) {
        size_t at = (size_t)row * (size_t)k.c + (size_t)column;
        float dz = k.relu && fx_lane_of(k.y)[at] <= 0 ? 0 : fx_lane_of(k.dy)[at];

        sum += (double)dz;
        if (k.dz.data)
            fx_lane_of(k.dz)[at] = dz;
    }
    sum = fx_column_sum<ROWS>(sum);
    if (threadIdx.y == 0 && column < k.c && k.d_bias.data)
        fx_grad_put(k.d_bias, (size_t)column, (float)sum);
}

cudaError_t fx_k_bias_act_back(const struct fx_k_launch *l, struct fx_k_array y,
                               struct fx_k_array dy, int rows, int c, bool relu,
                               struct fx_k_array dz, struct fx_k_grad d_bias)
{
    bias_back k = { y, dy, dz, d_bias, rows, c, relu };
    dim3 grid((unsigned)(c + COLUMNS - 1) / COLUMNS, 1, (unsigned)l->n_lanes);

    return FX_LAUNCH(bias_act_back, grid, dim3(COLUMNS, ROWS), 0, l->stream, k);
}

/* ---- residual sum --------------------------------------------------------------------------- */

static __global__ void add_vectors(const float *a, const float *b, float *y, size_t n, bool relu)
{
    size_t i = fx_flat_index();

    if (i >= n)
        return;
    float sum = a[i] + b[i];
    y[i] = relu && sum < 0 ? 0 : sum;
}

cudaError_t fx_k_add_vectors(cudaStream_t stream, const float *a, const float *b, float *y,
                             size_t n, bool relu)
{
    return FX_LAUNCH(add_vectors, fx_flat_grid(n), FX_FLAT_THREADS, 0, stream, a, b, y, n, relu);
}

/* One thread writes the gradients of all inputs, one after the other: two may be one. */
static __global__ void add_vectors_back(fx_k_inputs in, const float *y, const float *dy, size_t n,
                                        bool relu)
{
    size_t i = fx_flat_index();

    if (i >= n)
        return;
    float value = !relu || y[i] > 0 ? dy[i] : 0;
    for (int k = 0; k < in.n; k++)
        if (in.dx[k].data)
            fx_grad_put(in.dx[k], i, value);
}

cudaError_t fx_k_add_vectors_back(cudaStream_t stream, const struct fx_k_inputs *in, const float *y,
                                  const float *dy, size_t n, bool relu)
{
    return FX_LAUNCH(add_vectors_back, fx_flat_grid(n), FX_FLAT_THREADS, 0, stream, *in, y, dy, n,
                     relu);
}

/* ---- concatenation; tokens are inputs of equal width side by side --------------------------- */

/* Where value i of input k (grid.y) stands in the rows of all. */
static __device__ size_t in_concat(const fx_k_inputs &in, int k, size_t i)
{
    size_t c = (size_t)in.c[k], before = 0, all = 0;

    for (int j = 0; j < in.n; j++) {
        before += j < k ? (size_t)in.c[j] : 0;
        all += (size_t)in.c[j];
    }
    return i / c * all + before + i % c;
}

static __global__ void concat(fx_k_inputs in, int rows, float *y)
{
    size_t i = fx_flat_index();
    int k = (int)blockIdx.y;

    if (i < (size_t)rows * (size_t)in.c[k])
        y[in_concat(in, k, i)] = in.x[k][i];
}

static __global__ void concat_back(fx_k_inputs in, int rows, const float *dy)
{
    size_t i = fx_flat_index();
    int k = (int)blockIdx.y;

    if (in.dx[k].data && i < (size_t)rows * (size_t)in.c[k])
        fx_grad_put(in.dx[k], i, dy[in_concat(in, k, i)]);
}

/* Blocks for the widest input. */
static dim3 concat_grid(const fx_k_inputs *in, int rows)
{
    int widest = 0;

    for (int k = 0; k < in->n; k++)
        widest = in->c[k] > widest ? in->c[k] : widest;
    return fx_flat_grid((size_t)rows * (size_t)widest, in->n);
}

cudaError_t fx_k_concat(cudaStream_t stream, const struct fx_k_inputs *in, int rows, float *y)
{
    return FX_LAUNCH(concat, concat_grid(in, rows), FX_FLAT_THREADS, 0, stream, *in, rows, y);
}

cudaError_t fx_k_concat_back(cudaStream_t stream, const struct fx_k_inputs *in, int rows,
                             const float *dy)
{
    return FX_LAUNCH(concat_back, concat_grid(in, rows), FX_FLAT_THREADS, 0, stream, *in, rows, dy);
}

static fx_k_inputs of_width(const fx_k_inputs *in, int c)
{
    fx_k_inputs same = *in;

    for (int k = 0; k < same.n; k++)
        same.c[k] = c;
    return same;
}

cudaError_t fx_k_stack(cudaStream_t stream, const struct fx_k_inputs *in, int rows, int c, float *y)
{
    fx_k_inputs tokens = of_width(in, c);

    return fx_k_concat(stream, &tokens, rows, y);
}

cudaError_t fx_k_stack_back(cudaStream_t stream, const struct fx_k_inputs *in, int rows, int c,
                            const float *dy)
{
    fx_k_inputs tokens = of_width(in, c);

    return fx_k_concat_back(stream, &tokens, rows, dy);
}

/* ---- dropout -------------------------------------------------------------------------------- */

/* A thread takes four neighbouring values of an image, which share one draw. */
static __global__ void drop_vector(fx_k_array x, fx_k_grad y, int n, fx_k_drop drop)
{
    size_t size = (size_t)drop.area * (size_t)drop.c, quads = (size + 3) / 4;
    size_t image = fx_flat_index() / quads, first = fx_flat_index() % quads * 4;
    float factor[4] = { 1, 1, 1, 1 };

    if (image >= (size_t)n)
        return;
    if (drop.p > 0)
        fx_dropout_quad(drop, (int)blockIdx.z, drop.view.numbers[image], (uint32_t)(first / 4),
                        factor);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        size_t i = image * size + first + (size_t)j;

        if (first + (size_t)j < size)
            fx_grad_put(y, i, factor[j] * fx_lane_of(x)[i]);
    }
}

static cudaError_t launch_drop(const fx_k_launch *l, fx_k_array x, fx_k_grad y, int n,
                               const fx_k_drop *drop)
{
    size_t quads = ((size_t)drop->area * (size_t)drop->c + 3) / 4;

    if (!y.data)
        return cudaSuccess;
    return FX_LAUNCH(drop_vector, fx_flat_grid((size_t)n * quads, 1, l->n_lanes), FX_FLAT_THREADS,
                     0, l->stream, x, y, n, *drop);
}

cudaError_t fx_k_drop_vector(const struct fx_k_launch *l, struct fx_k_array x, struct fx_k_array y,
                             int n, const struct fx_k_drop *drop)
{
    return launch_drop(l, x, fx_k_grad{ y.data, y.lane, false }, n, drop);
}

cudaError_t fx_k_drop_vector_back(const struct fx_k_launch *l, struct fx_k_array dy,
                                  struct fx_k_grad dx, int n, const struct fx_k_drop *drop)
{
    return launch_drop(l, dy, dx, n, drop);
}
