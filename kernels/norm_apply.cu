/* y = drop(relu(scale * x + shift)). */
#include "launch.cuh"
#include "norm.cuh"

template <class T, bool DROPS>
static __global__ void __launch_bounds__(FX_NORM_THREADS)
    norm_apply(fx_k_map x, fx_k_map y, fx_norm_cut cut, fx_k_norm norm)
{
    __shared__ fx_norm_coefficients k;
    fx_norm_thread t = fx_norm_thread_of(cut);
    int at = t.tx * FX_K_BLOCK;

    fx_norm_load(norm, cut, x.c, &k);
    if (t.is_idle)
        return;
#pragma unroll 4
    for (int row = t.row; row < t.end; row += cut.ty) {
        fx_map_block v = fx_map_load(fx_map_at<T>(x, t.lane, (size_t)row, t.first));
#pragma unroll
        for (int i = 0; i < FX_K_BLOCK; i++) {
            v.c[i] = k.scale[at + i] * v.c[i] + k.shift[at + i];
            v.c[i] = norm.relu && v.c[i] <= 0.0f ? 0.0f : v.c[i];
        }
        if (DROPS)
            fx_map_drop(norm.drop, t.lane, row, t.first, &v);
#pragma unroll
        for (int i = 0; i < FX_K_BLOCK; i++) /* padding: what lies there in x may be anything */
            v.c[i] = t.first + i < x.c ? v.c[i] : 0.0f;
        fx_map_store(fx_map_at<T>(y, t.lane, (size_t)row, t.first), v);
    }
}

template <class T>
static cudaError_t launch(const struct fx_k_launch *l, const struct fx_k_map *x,
                          const struct fx_k_map *y, const fx_norm_cut &cut,
                          const struct fx_k_norm *norm)
{
    dim3 grid = fx_norm_grid(cut, l->n_lanes);

    return norm->drop.p > 0 ? FX_LAUNCH((norm_apply<T, true>), grid, FX_NORM_THREADS, 0, l->stream,
                                        *x, *y, cut, *norm)
                            : FX_LAUNCH((norm_apply<T, false>), grid, FX_NORM_THREADS, 0, l->stream,
                                        *x, *y, cut, *norm);
}

cudaError_t fx_k_norm_apply(const struct fx_k_launch *l, const struct fx_k_map *x,
                            const struct fx_k_map *y, int rows, const struct fx_k_norm *norm)
{
    fx_norm_cut cut = fx_norm_pass_cut(rows, x->c, l->n_lanes);

    return l->bf16 ? launch<__nv_bfloat16>(l, x, y, cut, norm) : launch<float>(l, x, y, cut, norm);
}
