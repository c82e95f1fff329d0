/* BATCHNORM forward, once the statistics are known: y = drop(relu(scale * x + shift)), and the sum
 * behind a residual branch: y = relu(scale * x + shift + a). */
#include "launch.cuh"
#include "norm_value.cuh"

template <class T, bool RELU, bool DROPS>
static __global__ void __launch_bounds__(FX_NORM_THREADS, FX_NORM_RESIDENT)
    norm_apply(fx_k_map x, fx_k_map y, fx_norm_cut cut, fx_k_norm norm)
{
    constexpr int BATCH = fx_norm_batch<T>(1, DROPS);
    __shared__ fx_norm_table table;
    fx_norm_thread t = fx_norm_thread_of(cut);
    fx_norm_way<const T> from = fx_norm_way_of<const T>(x, cut, t);
    fx_norm_way<T> to = fx_norm_way_of<T>(y, cut, t);

    fx_norm_fill(norm, cut, &table);
    fx_map_block scale = fx_map_load(table.scale + t.x * FX_K_BLOCK);
    fx_map_block shift = fx_map_load(table.shift + t.x * FX_K_BLOCK);
    for (int row = t.row; row < t.end; row += BATCH * cut.height) {
        fx_norm_packed<T> batch[BATCH];

        fx_norm_load(from, cut, t, row, batch);
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            if (!fx_norm_has(cut, t, row, k))
                break;
            fx_map_block v = fx_norm_unpack(batch[k]);
            fx_norm_push<RELU>(scale, shift, &v);
            if (DROPS)
                fx_map_drop(norm.drop, t.lane, row + k * cut.height, t.first, &v);
            fx_norm_store_exact(to.at + k * to.step, t.first, cut.c, v);
        }
        from.at += BATCH * from.step;
        to.at += BATCH * to.step;
    }
}

using norm_apply_kernel = void(fx_k_map, fx_k_map, fx_norm_cut, fx_k_norm);

template <class T> static norm_apply_kernel *kernel_for(const struct fx_k_norm *norm)
{
    bool drops = norm->drop.p > 0;

    if (norm->relu)
        return drops ? norm_apply<T, true, true> : norm_apply<T, true, false>;
    return drops ? norm_apply<T, false, true> : norm_apply<T, false, false>;
}

cudaError_t fx_k_norm_apply(const struct fx_k_launch *l, const struct fx_k_map *x,
                            const struct fx_k_map *y, int rows, const struct fx_k_norm *norm)
{
    fx_norm_cut cut = fx_norm_pass_cut(rows, x->c, l->n_lanes);
    norm_apply_kernel *norm_apply_of =
        l->bf16 ? kernel_for<__nv_bfloat16>(norm) : kernel_for<float>(norm);

    return FX_LAUNCH(norm_apply_of, fx_norm_grid(cut, l->n_lanes), FX_NORM_THREADS, 0, l->stream,
                     *x, *y, cut, *norm);
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
    constexpr int BATCH = fx_norm_batch<T>(2, false);
    __shared__ fx_norm_table table;
    fx_norm_thread t = fx_norm_thread_of(cut);
    fx_norm_way<const T> from = fx_norm_way_of<const T>(x, cut, t);
    fx_norm_way<const T> with = fx_norm_way_of<const T>(a, cut, t);
    fx_norm_way<T> to = fx_norm_way_of<T>(y, cut, t);

    fx_norm_fill(norm, cut, &table);
    fx_map_block scale = fx_map_load(table.scale + t.x * FX_K_BLOCK);
    fx_map_block shift = fx_map_load(table.shift + t.x * FX_K_BLOCK);
    for (int row = t.row; row < t.end; row += BATCH * cut.height) {
        fx_norm_packed<T> batch[BATCH], summands[BATCH];

        fx_norm_load(from, cut, t, row, batch);
        fx_norm_load(with, cut, t, row, summands);
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
    }
}

cudaError_t fx_k_norm_add(const struct fx_k_launch *l, const struct fx_k_map *x,
                          const struct fx_k_map *a, const struct fx_k_map *y, int rows,
                          const struct fx_k_norm *norm, bool relu)
{
    fx_norm_cut cut = fx_norm_pass_cut(rows, x->c, l->n_lanes);
    dim3 grid = fx_norm_grid(cut, l->n_lanes);

    return l->bf16 ? FX_LAUNCH(norm_add<__nv_bfloat16>, grid, FX_NORM_THREADS, 0, l->stream, *x, *a,
                               *y, cut, *norm, relu)
                   : FX_LAUNCH(norm_add<float>, grid, FX_NORM_THREADS, 0, l->stream, *x, *a, *y,
                               cut, *norm, relu);
}
