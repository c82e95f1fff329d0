/* BATCHNORM backward: two sums over the batch, from which the parameters' gradients and the
 * coefficients of dx follow; then the pass that writes or adds dx. */
#include "launch.cuh"
#include "norm_back_loop.cuh"

/* ---- sums ----------------------------------------------------------------------------------- */

/* Blocks of threads of the sums on a multiprocessor. */
static constexpr int sums_resident(bool bf16)
{
    return bf16 ? FX_NORM_RESIDENT : 2;
}

/* Where the results of the sums go. */
struct norm_back_results {
    fx_k_array d_weight, d_bias;
    bool accumulate;
    float *coef; /* (lanes, 3, padded c): by_g, by_x, constant */
};

static __device__ __forceinline__ void put(const fx_k_array &to, unsigned lane, int c, double value,
                                           bool accumulate)
{
    float *at = to.data + lane * to.lane + c;

    *at = accumulate ? *at + (float)value : (float)value;
}

/* sums: of g, of g * (x - mean); of a channel of padding, zeros. */
static __device__ __forceinline__ void put_results(const norm_back_results &to,
                                                   const fx_norm_cut &cut, const fx_k_norm &norm,
                                                   unsigned lane, int c, fx_norm_totals sums)
{
    int stride = cut.n_blocks * FX_K_BLOCK;
    float *coef = to.coef + (size_t)lane * 3 * (size_t)stride + c;
    double by_g = 0, by_x = 0, constant = 0, n = cut.rows;

    if (c < cut.c) {
        fx_norm_channel k = fx_norm_channel_of(norm, lane, c);

        put(to.d_weight, lane, c, sums.b * k.invstd, to.accumulate);
        put(to.d_bias, lane, c, sums.a, to.accumulate);
        by_g = k.scale;
        by_x = -k.scale * k.invstd * k.invstd * sums.b / n;
        constant = -k.scale * sums.a / n;
    }
    coef[0] = (float)by_g;
    coef[stride] = (float)by_x;
    coef[2 * stride] = (float)constant;
}

/* END is FX_NORM_FORGETS or FX_NORM_PULLS. */
template <class T, bool RELU, bool DROPS, fx_norm_end END>
static __global__ void __launch_bounds__(FX_NORM_THREADS, sums_resident(sizeof(T) == 2))
    norm_back_sums(fx_k_map x, fx_k_map dy, fx_k_map sum, fx_norm_cut cut, fx_k_norm norm,
                   fx_norm_scratch scratch, norm_back_results results)
{
    __shared__ fx_norm_table table;
    __shared__ fx_norm_shared shared;
    fx_norm_thread t = fx_norm_thread_of(cut);
    fx_norm_pair sums = {};

    fx_norm_back_loop<T, RELU, DROPS, END>(
        { x, dy, sum }, cut, t, norm, [&] { return fx_norm_sum_line_of(norm, cut, t, &table); },
        [&](const fx_norm_sum_line &k, const fx_map_block &v, fx_map_block *g) {
            fx_norm_sum_back(&sums, v, k.mean, *g);
        });
    fx_norm_reduce(cut, t, sums, &shared);
    fx_norm_finish(
        cut, shared, scratch, [](int, fx_norm_totals totals) { return totals; },
        [&](int c, fx_norm_totals totals) { put_results(results, cut, norm, t.lane, c, totals); });
}

using norm_sums_kernel = void(fx_k_map, fx_k_map, fx_k_map, fx_norm_cut, fx_k_norm, fx_norm_scratch,
                              norm_back_results);

template <class T> static norm_sums_kernel *sums_kernel(const struct fx_k_norm *norm, bool pulls)
{
    bool drops = norm->mask.bytes;

    if (pulls)
        return norm_back_sums<T, false, false, FX_NORM_PULLS>;
    if (norm->relu)
        return drops ? norm_back_sums<T, true, true, FX_NORM_FORGETS>
                     : norm_back_sums<T, true, false, FX_NORM_FORGETS>;
    return drops ? norm_back_sums<T, false, true, FX_NORM_FORGETS>
                 : norm_back_sums<T, false, false, FX_NORM_FORGETS>;
}

cudaError_t fx_k_norm_back_sums(const struct fx_k_launch *l, const struct fx_k_map *x,
                                const struct fx_k_map *dy, const struct fx_k_map *sum, int rows,
                                const struct fx_k_norm *norm, struct fx_k_array d_weight,
                                struct fx_k_array d_bias, bool accumulate, float *coef,
                                void *scratch)
{
    fx_norm_cut cut = fx_norm_sum_cut(l, rows, 0, x->c, sums_resident(l->bf16));
    norm_back_results results = { d_weight, d_bias, accumulate, coef };
    norm_sums_kernel *norm_back_sums_of =
        l->bf16 ? sums_kernel<__nv_bfloat16>(norm, sum) : sums_kernel<float>(norm, sum);

    return FX_LAUNCH(norm_back_sums_of, fx_norm_grid(cut), FX_NORM_THREADS, 0, l->stream, *x, *dy,
                     sum ? *sum : *dy, cut, *norm, fx_norm_scratch_of(l, scratch), results);
}

/* ---- dx ------------------------------------------------------------------------------------- */

/* What dx needs for the channels of a thread: the norm's scale is also the factor of g.  Without
 * coef, of a fixed norm, there is nothing else. */
struct norm_line {
    fx_map_block scale, shift, mean, by_x, constant;
};

/* All threads of the block call it. */
static __device__ __forceinline__ norm_line line_of(const float *coef, const fx_k_norm &norm,
                                                    const fx_norm_cut &cut, const fx_norm_thread &t,
                                                    fx_norm_table *table)
{
    int stride = cut.n_blocks * FX_K_BLOCK, first = t.first < cut.c ? t.first : 0;
    size_t at = (size_t)t.lane * 3 * (size_t)stride + (size_t)first;

    fx_norm_fill(norm, cut, t.lane, table);
    norm_line line = { fx_map_load(table->scale + t.x * FX_K_BLOCK),
                       fx_map_load(table->shift + t.x * FX_K_BLOCK),
                       fx_map_load(table->mean + t.x * FX_K_BLOCK),
                       {},
                       {} };
    if (coef) {
        line.scale = fx_map_load(coef + at);
        line.by_x = fx_map_load(coef + at + stride);
        line.constant = fx_map_load(coef + at + 2 * stride);
    }
    return line;
}

/* g becomes dx. */
static __device__ __forceinline__ void gradient_of_input(const norm_line &k, const fx_map_block &x,
                                                         fx_map_block *g)
{
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++)
        g->c[i] = k.scale.c[i] * g->c[i] + (k.by_x.c[i] * (x.c[i] - k.mean.c[i]) + k.constant.c[i]);
}

template <class T, bool RELU, bool DROPS, bool ADDS>
static __global__ void __launch_bounds__(FX_NORM_THREADS, 2)
    norm_back_apply(fx_k_map x, fx_k_map dy, fx_k_map dx, fx_norm_cut cut, fx_k_norm norm,
                    const float *coef)
{
    __shared__ fx_norm_table table;
    fx_norm_thread t = fx_norm_thread_of(cut);

    fx_norm_back_loop<T, RELU, DROPS, ADDS ? FX_NORM_ADDS : FX_NORM_SETS>(
        { x, dy, dx }, cut, t, norm, [&] { return line_of(coef, norm, cut, t, &table); },
        [](const norm_line &k, const fx_map_block &v, fx_map_block *g) {
            gradient_of_input(k, v, g);
        });
}

using norm_dx_kernel = void(fx_k_map, fx_k_map, fx_k_map, fx_norm_cut, fx_k_norm, const float *);

template <class T, bool ADDS> static norm_dx_kernel *dx_kernel(const struct fx_k_norm *norm)
{
    bool drops = norm->mask.bytes;

    if (norm->relu)
        return drops ? norm_back_apply<T, true, true, ADDS> : norm_back_apply<T, true, false, ADDS>;
    return drops ? norm_back_apply<T, false, true, ADDS> : norm_back_apply<T, false, false, ADDS>;
}

template <class T> static norm_dx_kernel *dx_kernel_for(const struct fx_k_norm *norm, bool add)
{
    return add ? dx_kernel<T, true>(norm) : dx_kernel<T, false>(norm);
}

cudaError_t fx_k_norm_back_apply(const struct fx_k_launch *l, const struct fx_k_map *x,
                                 const struct fx_k_map *dy, const struct fx_k_map *dx, int rows,
                                 const struct fx_k_norm *norm, const float *coef, bool add)
{
    fx_norm_cut cut = fx_norm_pass_cut(l, rows, x->c);
    norm_dx_kernel *norm_back_apply_of =
        l->bf16 ? dx_kernel_for<__nv_bfloat16>(norm, add) : dx_kernel_for<float>(norm, add);

    return FX_LAUNCH(norm_back_apply_of, fx_norm_grid(cut), FX_NORM_THREADS, 0, l->stream, *x, *dy,
                     *dx, cut, *norm, coef);
}
