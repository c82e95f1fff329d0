/* BATCHNORM forward: batch statistics of channels, the running statistics, and the result.
 *
 * Statistics: a block of threads sums x - pivot and its square, the pivot being the first value of
 * its own part of the rows: however far the mean lies from zero, and whatever single value a pivot
 * is, f32 loses next to nothing beside the variance.  In double the sums are then referred to the
 * channel's first value, the same for all parts, so that they can be added. */
#include "launch.cuh"

#include "kernels.h"
#include "norm_rows.cuh"
#include "norm_sums.cuh"
#include "norm_value.cuh"

static __device__ __forceinline__ double as_double(float value)
{
    return (double)value;
}

static __device__ __forceinline__ double as_double(__nv_bfloat16 value)
{
    return (double)__bfloat162float(value);
}

template <class T>
static __device__ __forceinline__ double value_at(const fx_k_map &x, unsigned lane, int row, int c)
{
    const T *block = fx_map_at<const T>(x, lane, (size_t)row, c / FX_K_BLOCK * FX_K_BLOCK);

    return as_double(block[c % FX_K_BLOCK]);
}

/* From sum (x - pivot) and sum (x - pivot)^2 of n values those of x - (pivot - shift). */
static __device__ __forceinline__ fx_norm_totals shifted(fx_norm_totals sums, double n,
                                                         double shift)
{
    return { sums.a + n * shift, sums.b + shift * (2.0 * sums.a + n * shift) };
}

/* Mean and variances from sum (x - origin) and sum (x - origin)^2 of n values. */
static __device__ __forceinline__ void put_moments(const fx_k_stats &stats, unsigned lane, int c,
                                                   fx_norm_totals sums, double n, double origin)
{
    float *to = stats.data + lane * stats.lane + c;
    double offset = sums.a / n, m2 = sums.b - sums.a * offset;

    m2 = m2 < 0 ? 0 : m2; /* NaN stays NaN */
    to[0] = (float)(origin + offset);
    to[stats.stride] = (float)(m2 / n);
    to[2 * stats.stride] = (float)(n > 1 ? m2 / (n - 1) : m2 / n);
}

/* COPIES: what is read of x is written to `to` as it is. */
template <class T, bool COPIES>
static __global__ void __launch_bounds__(FX_NORM_THREADS, FX_NORM_RESIDENT)
    norm_sums(fx_k_map x, fx_k_map to, fx_norm_cut cut, int first, fx_norm_scratch scratch,
              fx_k_stats stats)
{
    constexpr int BATCH = fx_norm_batch<T>(1);
    __shared__ fx_norm_shared shared;
    fx_norm_thread t = fx_norm_thread_of(cut);
    fx_norm_way<const T> from = fx_norm_way_of<const T>(x, cut, t);
    fx_norm_way<T> copy = fx_norm_way_of<T>(to, cut, t);
    int part = (int)blockIdx.y * cut.part_rows, n = min(cut.part_rows, cut.rows - part);
    fx_norm_pair sums = {};
    fx_map_block pivot = {};

    if (t.row < t.end)
        pivot = fx_map_load(fx_map_at<const T>(x, t.lane, (size_t)part, t.first));
    for (int row = t.row; row < t.end; row += BATCH * cut.height) {
        fx_norm_packed<T> batch[BATCH];

        fx_norm_load(from, cut, t, row, batch);
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            if (!fx_norm_has(cut, t, row, k))
                break;
            fx_map_block v = fx_norm_unpack(batch[k]);
            if constexpr (COPIES)
                *reinterpret_cast<fx_norm_packed<T> *>(copy.at + k * copy.step) = batch[k];
#pragma unroll
            for (int i = 0; i < FX_K_BLOCK; i++) {
                float d = v.c[i] - pivot.c[i];

                sums.a[i] += d;
                sums.b[i] += d * d;
            }
        }
        from.at += BATCH * from.step;
        copy.at += BATCH * copy.step;
    }
    fx_norm_reduce(cut, t, sums, &shared);
    fx_norm_finish(
        cut, shared, scratch,
        [&](int c, fx_norm_totals about_pivot) {
            return shifted(about_pivot, n,
                           value_at<T>(x, t.lane, part, c) - value_at<T>(x, t.lane, 0, c));
        },
        [&](int c, fx_norm_totals totals) {
            if (c >= first && c < cut.c)
                put_moments(stats, t.lane, c, totals, cut.rows, value_at<T>(x, t.lane, 0, c));
        });
}

cudaError_t fx_k_norm_stats(const struct fx_k_launch *l, const struct fx_k_map *x, int first,
                            int rows, const struct fx_k_stats *stats, void *scratch)
{
    fx_norm_cut cut = fx_norm_sum_cut(l, rows, first, x->c, FX_NORM_RESIDENT);
    auto *norm_sums_of = l->bf16 ? norm_sums<__nv_bfloat16, false> : norm_sums<float, false>;

    return FX_LAUNCH(norm_sums_of, fx_norm_grid(cut), FX_NORM_THREADS, 0, l->stream, *x, *x, cut,
                     first, fx_norm_scratch_of(l, scratch), *stats);
}

/* `from` is read as channels of a map that begins `first` channels before it. */
cudaError_t fx_k_norm_stats_copy(const struct fx_k_launch *l, const struct fx_k_map *from,
                                 const struct fx_k_map *x, int first, int rows,
                                 const struct fx_k_stats *stats, void *scratch)
{
    fx_norm_cut cut = fx_norm_sum_cut(l, rows, first, x->c, FX_NORM_RESIDENT);
    auto *norm_sums_of = l->bf16 ? norm_sums<__nv_bfloat16, true> : norm_sums<float, true>;
    fx_k_map wide = *from;

    wide.data = (char *)from->data - (size_t)first * (l->bf16 ? 2 : sizeof(float));
    return FX_LAUNCH(norm_sums_of, fx_norm_grid(cut), FX_NORM_THREADS, 0, l->stream, wide, *x, cut,
                     first, fx_norm_scratch_of(l, scratch), *stats);
}

/* Fewer channels may be cut into more parts: the most that any `first` needs. */
size_t fx_k_norm_scratch(const struct fx_k_launch *l, int rows, int c)
{
    size_t most = 0;

    for (int first = 0; first < c; first += FX_K_BLOCK) {
        size_t n = fx_norm_partials(fx_norm_sum_cut(l, rows, first, c, FX_NORM_RESIDENT));

        most = n > most ? n : most;
    }
    return (size_t)l->n_lanes * most * sizeof(double);
}

size_t fx_k_norm_tickets(int c, int n_lanes)
{
    dim3 grid = fx_norm_grid(fx_norm_cut_of(1, 0, c, n_lanes, FX_NORM_SUM_WIDTH, 1));

    return (size_t)grid.x * grid.z * sizeof(unsigned);
}

/* ---- running statistics -----------------------------------------------------------------------
 */

/* After a training forward pass, of all BATCHNORM nodes at once: grid.x counts
 * nodes, grid.y chunks of channels.  Rounded as lib/backend/host/store.c does. */

enum { THREADS = 256, CHUNKS = 4 };

/* next[at] = (1 - momentum) * last[at] + momentum * batch; whether that is a number. */
static __device__ __forceinline__ bool move_average(float momentum, const float *last, float *next,
                                                    size_t at, float batch)
{
    float value = __fadd_rn(__fmul_rn(1.0f - momentum, last[at]), __fmul_rn(momentum, batch));

    next[at] = value;
    return isfinite(value);
}

static __global__ void __launch_bounds__(THREADS)
    running_gather(const fx_k_running *table, const fx_k_batch *batch, const float *running,
                   float *pending, int *not_finite)
{
    fx_k_running node = table[blockIdx.x];
    const float *last = batch->is_first ? running : pending;
    bool is_finite = true;

    for (int c = (int)(blockIdx.y * THREADS + threadIdx.x); c < node.c; c += CHUNKS * THREADS) {
        is_finite &=
            move_average(node.momentum, last, pending, node.at_mean + (size_t)c, node.mean[c]);
        is_finite &=
            move_average(node.momentum, last, pending, node.at_var + (size_t)c, node.unbiased[c]);
    }
    if (!is_finite)
        atomicOr(not_finite, 1);
}

cudaError_t fx_k_running_gather(cudaStream_t stream, const struct fx_k_running *table, int n,
                                const struct fx_k_batch *batch, const float *running,
                                float *pending, int *not_finite)
{
    return FX_LAUNCH(running_gather, dim3((unsigned)n, CHUNKS), THREADS, 0, stream, table, batch,
                     running, pending, not_finite);
}

/* ---- result -----------------------------------------------------------------------------------
 */

/* Once the statistics are known: y = drop(relu(scale * x + shift)), and the sum
 * behind a residual branch: y = relu(scale * x + shift + a).  The first rows are on their way while
 * the table of coefficients, which takes divisions and roots in double, is made. */

/* A dropout's mask is not there, read, or drawn and written, which takes longer than loads do. */
enum norm_mask { NO_MASK, MASK_READ, MASK_DRAWN };

template <class T, bool RELU, norm_mask MASK>
static __global__ void __launch_bounds__(FX_NORM_THREADS, FX_NORM_RESIDENT)
    norm_apply(fx_k_map x, fx_k_map y, fx_norm_cut cut, fx_k_norm norm)
{
    constexpr int BATCH = MASK == MASK_DRAWN ? 1 : fx_norm_batch<T>(1);
    __shared__ fx_norm_table table;
    fx_norm_thread t = fx_norm_thread_of(cut);
    fx_norm_way<const T> from = fx_norm_way_of<const T>(x, cut, t);
    fx_norm_way<T> to = fx_norm_way_of<T>(y, cut, t);
    fx_norm_way<uint8_t> mask = fx_norm_mask_way_of(norm.mask, cut, t);
    fx_norm_packed<T> batch[BATCH] = {};
    fx_norm_packed<uint8_t> kept[BATCH] = {};
    auto load = [&](int row) {
        fx_norm_load(from, cut, t, row, batch);
        if constexpr (MASK == MASK_READ)
            fx_norm_load({ mask.at, mask.step }, cut, t, row, kept);
    };

    load(t.row);
    fx_norm_fill(norm, cut, t.lane, &table);
    fx_map_block scale = fx_map_load(table.scale + t.x * FX_K_BLOCK);
    fx_map_block shift = fx_map_load(table.shift + t.x * FX_K_BLOCK);
    for (int row = t.row; row < t.end; row += BATCH * cut.height) {
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            if (!fx_norm_has(cut, t, row, k))
                break;
            fx_map_block v = fx_norm_unpack(batch[k]);
            fx_norm_push<RELU>(scale, shift, &v);
            if constexpr (MASK == MASK_DRAWN)
                mask.at[k * mask.step] = kept[k].kept =
                    (uint8_t)fx_mask_draw(norm.mask.draw, t.lane, row + k * cut.height, t.first);
            if constexpr (MASK != NO_MASK)
                fx_mask_apply(kept[k].kept, norm.mask.factor, &v);
            fx_norm_store_exact(to.at + k * to.step, t.first, cut.c, v);
        }
        from.at += BATCH * from.step;
        to.at += BATCH * to.step;
        mask.at += BATCH * mask.step;
        load(row + BATCH * cut.height);
    }
}

using norm_apply_kernel = void(fx_k_map, fx_k_map, fx_norm_cut, fx_k_norm);

template <class T, bool RELU> static norm_apply_kernel *masked(const struct fx_k_mask *mask)
{
    if (!mask->bytes)
        return norm_apply<T, RELU, NO_MASK>;
    return mask->draw.p > 0 ? norm_apply<T, RELU, MASK_DRAWN> : norm_apply<T, RELU, MASK_READ>;
}

template <class T> static norm_apply_kernel *kernel_for(const struct fx_k_norm *norm)
{
    return norm->relu ? masked<T, true>(&norm->mask) : masked<T, false>(&norm->mask);
}

cudaError_t fx_k_norm_apply(const struct fx_k_launch *l, const struct fx_k_map *x,
                            const struct fx_k_map *y, int rows, const struct fx_k_norm *norm)
{
    fx_norm_cut cut = fx_norm_pass_cut(l, rows, x->c);
    norm_apply_kernel *norm_apply_of =
        l->bf16 ? kernel_for<__nv_bfloat16>(norm) : kernel_for<float>(norm);

    return FX_LAUNCH(norm_apply_of, fx_norm_grid(cut), FX_NORM_THREADS, 0, l->stream, *x, *y, cut,
                     *norm);
}

/* ---- with a sum -------------------------------------------------------------------------------
 */

static __device__ __forceinline__ void sum_of(fx_map_block *x, const fx_map_block &a, bool relu)
{
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++) {
        x->c[i] += a.c[i];
        x->c[i] = relu && x->c[i] <= 0.0f ? 0.0f : x->c[i];
    }
}

template <class T>
static __global__ void __launch_bounds__(FX_NORM_THREADS, FX_NORM_RESIDENT)
    norm_add(fx_k_map x, fx_k_map a, fx_k_map y, fx_norm_cut cut, fx_k_norm norm, bool relu)
{
    constexpr int BATCH = fx_norm_batch<T>(2);
    __shared__ fx_norm_table table;
    fx_norm_thread t = fx_norm_thread_of(cut);
    fx_norm_way<const T> from = fx_norm_way_of<const T>(x, cut, t);
    fx_norm_way<const T> with = fx_norm_way_of<const T>(a, cut, t);
    fx_norm_way<T> to = fx_norm_way_of<T>(y, cut, t);
    fx_norm_packed<T> batch[BATCH], summands[BATCH];

    fx_norm_load(from, cut, t, t.row, batch);
    fx_norm_load(with, cut, t, t.row, summands);
    fx_norm_fill(norm, cut, t.lane, &table);
    fx_map_block scale = fx_map_load(table.scale + t.x * FX_K_BLOCK);
    fx_map_block shift = fx_map_load(table.shift + t.x * FX_K_BLOCK);
    for (int row = t.row; row < t.end; row += BATCH * cut.height) {
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            if (!fx_norm_has(cut, t, row, k))
                break;
            fx_map_block v = fx_norm_unpack(batch[k]);
            fx_norm_push<false>(scale, shift, &v);
            sum_of(&v, fx_norm_unpack(summands[k]), relu);
            fx_norm_store_exact(to.at + k * to.step, t.first, cut.c, v);
        }
        from.at += BATCH * from.step;
        with.at += BATCH * with.step;
        to.at += BATCH * to.step;
        fx_norm_load(from, cut, t, row + BATCH * cut.height, batch);
        fx_norm_load(with, cut, t, row + BATCH * cut.height, summands);
    }
}

cudaError_t fx_k_norm_add(const struct fx_k_launch *l, const struct fx_k_map *x,
                          const struct fx_k_map *a, const struct fx_k_map *y, int rows,
                          const struct fx_k_norm *norm, bool relu)
{
    fx_norm_cut cut = fx_norm_pass_cut(l, rows, x->c);
    dim3 grid = fx_norm_grid(cut);

    return l->bf16 ? FX_LAUNCH(norm_add<__nv_bfloat16>, grid, FX_NORM_THREADS, 0, l->stream, *x, *a,
                               *y, cut, *norm, relu)
                   : FX_LAUNCH(norm_add<float>, grid, FX_NORM_THREADS, 0, l->stream, *x, *a, *y,
                               cut, *norm, relu);
}
