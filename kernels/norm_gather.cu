/* The backward pass of many norms on one map, DenseNet's.
 *
 * With M values a channel, norm l hands on invstd * w_l * (g_l - db_l / M - xhat * dw_l / M), and
 * all of them together invstd * (G - S1 / M - xhat * S2 / M) with G = sum w_l g_l, S1 = sum w_l
 * db_l, S2 = sum w_l dw_l.  So a norm needs one pass, which adds to G and to its own sums, and the
 * rest is done once a channel: the same sum, in another order. */
#include "launch.cuh"
#include "norm_back_loop.cuh"

enum { GATHERED_BIAS = 3, GATHERED_WEIGHT = 4 }; /* arrays of the statistics */

static __device__ __forceinline__ void keep(float *to, double value, bool add)
{
    *to = add ? *to + (float)value : (float)value;
}

/* ---- gather -----------------------------------------------------------------------------------
 */

/* The norm's weight of a thread's channels; zeros beyond the last. */
static __device__ __forceinline__ fx_map_block weight_of(const fx_k_norm &norm,
                                                         const fx_norm_cut &cut,
                                                         const fx_norm_thread &t)
{
    const float *from = norm.weight.data + t.lane * norm.weight.lane;
    fx_map_block weight;

#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++)
        weight.c[i] = t.first + i < cut.c ? from[t.first + i] : 0.0f;
    return weight;
}

/* What a thread needs of the norm. */
struct gather_line {
    fx_map_block scale, shift, mean, weight;
};

/* Where the results of the sums go, and whether they are added there. */
struct norm_gathered {
    fx_k_array d_weight, d_bias;
    bool accumulate;
    fx_k_stats stats;
    bool add;
};

/* sums: of g, of g * (x - mean). */
static __device__ __forceinline__ void keep_gathered(const norm_gathered &to, const fx_k_norm &norm,
                                                     unsigned lane, int c, fx_norm_totals sums)
{
    float *stats = to.stats.data + lane * to.stats.lane + c;
    double d_weight = sums.b * fx_norm_channel_of(norm, lane, c).invstd;
    double weight = (double)norm.weight.data[lane * norm.weight.lane + c];

    keep(to.d_weight.data + lane * to.d_weight.lane + c, d_weight, to.accumulate);
    keep(to.d_bias.data + lane * to.d_bias.lane + c, sums.a, to.accumulate);
    keep(stats + GATHERED_BIAS * to.stats.stride, weight * sums.a, to.add);
    keep(stats + GATHERED_WEIGHT * to.stats.stride, weight * d_weight, to.add);
}

enum { GATHER_RESIDENT = 2 }; /* blocks of threads on a multiprocessor */

template <class T, bool RELU, bool DROPS, bool ADDS>
static __global__ void __launch_bounds__(FX_NORM_THREADS, GATHER_RESIDENT)
    norm_gather(fx_k_map x, fx_k_map dy, fx_k_map gathered, fx_norm_cut cut, fx_k_norm norm,
                fx_norm_scratch scratch, norm_gathered to)
{
    __shared__ fx_norm_table table;
    __shared__ fx_norm_shared shared;
    fx_norm_thread t = fx_norm_thread_of(cut);
    fx_norm_pair sums = {};

    fx_norm_back_loop<T, RELU, DROPS, ADDS ? FX_NORM_ADDS : FX_NORM_SETS>(
        { x, dy, gathered }, cut, t, norm,
        [&] {
            fx_norm_sum_line line = fx_norm_sum_line_of(norm, cut, t, &table);
            return gather_line{ line.scale, line.shift, line.mean, weight_of(norm, cut, t) };
        },
        [&](const gather_line &k, const fx_map_block &v, fx_map_block *g) {
            fx_norm_sum_back(&sums, v, k.mean, *g);
#pragma unroll
            for (int i = 0; i < FX_K_BLOCK; i++)
                g->c[i] *= k.weight.c[i];
        });
    fx_norm_reduce(cut, t, sums, &shared);
    fx_norm_finish(
        cut, shared, scratch, [](int, fx_norm_totals totals) { return totals; },
        [&](int c, fx_norm_totals totals) {
            if (c < cut.c)
                keep_gathered(to, norm, t.lane, c, totals);
        });
}

using norm_gather_kernel = void(fx_k_map, fx_k_map, fx_k_map, fx_norm_cut, fx_k_norm,
                                fx_norm_scratch, norm_gathered);

template <class T, bool ADDS> static norm_gather_kernel *gather_kernel(const struct fx_k_norm *norm)
{
    bool drops = norm->mask.bytes;

    if (norm->relu)
        return drops ? norm_gather<T, true, true, ADDS> : norm_gather<T, true, false, ADDS>;
    return drops ? norm_gather<T, false, true, ADDS> : norm_gather<T, false, false, ADDS>;
}

template <class T>
static norm_gather_kernel *gather_kernel_for(const struct fx_k_norm *norm, bool add)
{
    return add ? gather_kernel<T, true>(norm) : gather_kernel<T, false>(norm);
}

cudaError_t fx_k_norm_gather(const struct fx_k_launch *l, const struct fx_k_map *x,
                             const struct fx_k_map *dy, const struct fx_k_map *g, int rows,
                             const struct fx_k_norm *norm, struct fx_k_array d_weight,
                             struct fx_k_array d_bias, bool accumulate,
                             const struct fx_k_stats *stats, bool add, void *scratch)
{
    fx_norm_cut cut = fx_norm_sum_cut(l, rows, 0, x->c, GATHER_RESIDENT);
    norm_gathered to = { d_weight, d_bias, accumulate, *stats, add };
    norm_gather_kernel *norm_gather_of =
        l->bf16 ? gather_kernel_for<__nv_bfloat16>(norm, add) : gather_kernel_for<float>(norm, add);

    return FX_LAUNCH(norm_gather_of, fx_norm_grid(cut), FX_NORM_THREADS, 0, l->stream, *x, *dy, *g,
                     cut, *norm, fx_norm_scratch_of(l, scratch), to);
}

/* ---- settle -----------------------------------------------------------------------------------
 */

/* dx = by_g * g + by_x * (x - mean) + constant, of a thread's channels. */
struct settled_line {
    fx_map_block by_g, mean, by_x, constant;
};

static __device__ __forceinline__ settled_line settled_line_of(const fx_k_stats &stats, float eps,
                                                               int first, const fx_norm_cut &cut,
                                                               const fx_norm_thread &t)
{
    const float *from = stats.data + t.lane * stats.lane + first + t.first;
    settled_line k = {};
    double m = cut.rows;

#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++)
        if (t.first + i < cut.c) {
            double invstd = 1.0 / sqrt((double)from[stats.stride + i] + (double)eps);

            k.mean.c[i] = from[i];
            k.by_g.c[i] = (float)invstd;
            k.by_x.c[i] =
                (float)(-invstd * invstd * (double)from[GATHERED_WEIGHT * stats.stride + i] / m);
            k.constant.c[i] = (float)(-invstd * (double)from[GATHERED_BIAS * stats.stride + i] / m);
        }
    return k;
}

/* Eight channels from any one on; what lies beyond the last is not read. */
template <class T, bool ALIGNED>
static __device__ __forceinline__ fx_map_block load_at(const T *at, int n)
{
    if constexpr (ALIGNED) {
        return fx_map_load(at);
    } else {
        fx_map_block block = {};

#pragma unroll
        for (int i = 0; i < FX_K_BLOCK; i++)
            if (i < n)
                block.c[i] = (float)at[i];
        return block;
    }
}

template <class T, bool ALIGNED>
static __global__ void __launch_bounds__(FX_NORM_THREADS)
    norm_settle(fx_k_map x, fx_k_map g, fx_k_map dx, fx_norm_cut cut, int first, fx_k_stats stats,
                float eps)
{
    fx_norm_thread t = fx_norm_thread_of(cut);
    settled_line k = settled_line_of(stats, eps, first, cut, t);

    for (int row = t.row; row < t.end; row += cut.height) {
        size_t r = (size_t)row;
        fx_map_block v =
            load_at<T, ALIGNED>(fx_map_at<T>(x, t.lane, r, first + t.first), cut.c - t.first);
        fx_map_block d =
            load_at<T, ALIGNED>(fx_map_at<T>(g, t.lane, r, first + t.first), cut.c - t.first);
#pragma unroll
        for (int i = 0; i < FX_K_BLOCK; i++)
            d.c[i] =
                k.by_g.c[i] * d.c[i] + (k.by_x.c[i] * (v.c[i] - k.mean.c[i]) + k.constant.c[i]);
        fx_norm_store_exact(fx_map_at<T>(dx, t.lane, r, t.first), t.first, cut.c, d);
    }
}

template <class T>
static cudaError_t settle(const struct fx_k_launch *l, const struct fx_k_map *x,
                          const struct fx_k_map *g, int first, const struct fx_k_map *dx, int rows,
                          const struct fx_k_stats *stats, float eps)
{
    fx_norm_cut cut = fx_norm_pass_cut(l, rows, dx->c);
    dim3 grid = fx_norm_grid(cut);

    return first % FX_K_BLOCK == 0 ? FX_LAUNCH((norm_settle<T, true>), grid, FX_NORM_THREADS, 0,
                                               l->stream, *x, *g, *dx, cut, first, *stats, eps)
                                   : FX_LAUNCH((norm_settle<T, false>), grid, FX_NORM_THREADS, 0,
                                               l->stream, *x, *g, *dx, cut, first, *stats, eps);
}

cudaError_t fx_k_norm_settle(const struct fx_k_launch *l, const struct fx_k_map *x,
                             const struct fx_k_map *g, int first, const struct fx_k_map *dx,
                             int rows, const struct fx_k_stats *stats, float eps)
{
    return l->bf16 ? settle<__nv_bfloat16>(l, x, g, first, dx, rows, stats, eps)
                   : settle<float>(l, x, g, first, dx, rows, stats, eps);
}
