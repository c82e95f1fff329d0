/* Batch statistics of channels.
 *
 * Sums are of x - x0 and (x - x0)^2, x0 being the channel's first value: whatever the mean, nothing
 * cancels that is not small beside the variance.  f32 within a block of threads, double beyond. */
#include "launch.cuh"
#include "norm.cuh"

size_t fx_k_norm_scratch(int rows, int c, int n_lanes)
{
    fx_norm_cut cut = fx_norm_sum_cut(rows, 0, c, n_lanes);

    return (size_t)n_lanes * (size_t)cut.n_parts * 2 * (size_t)cut.n_blocks * FX_K_BLOCK *
           sizeof(float);
}

template <class T>
static __global__ void __launch_bounds__(FX_NORM_THREADS)
    norm_sums(fx_k_map x, fx_norm_cut cut, float *scratch)
{
    fx_norm_thread t = fx_norm_thread_of(cut);
    fx_norm_pair sums = {};

    if (!t.is_idle) {
        fx_map_block origin = fx_map_load(fx_map_at<T>(x, t.lane, 0, t.first));

#pragma unroll 4
        for (int row = t.row; row < t.end; row += cut.ty) {
            fx_map_block v = fx_map_load(fx_map_at<T>(x, t.lane, (size_t)row, t.first));
#pragma unroll
            for (int i = 0; i < FX_K_BLOCK; i++) {
                float d = v.c[i] - origin.c[i];

                sums.a[i] += d;
                sums.b[i] += d * d;
            }
        }
    }
    fx_norm_reduce(cut, t, sums, scratch);
}

template <class T>
static __global__ void norm_moments(fx_k_map x, fx_norm_cut cut, int first, const float *scratch,
                                    fx_k_stats stats)
{
    int c = cut.first_block * FX_K_BLOCK + (int)(blockIdx.x * FX_NORM_FINAL_X + threadIdx.x);
    float *to = stats.data + blockIdx.z * stats.lane;
    double sum, squares, n = cut.rows;

    fx_norm_total(cut, scratch, &sum, &squares);
    if (threadIdx.y > 0 || c < first || c >= x.c)
        return;
    const T *origin = fx_map_at<T>(x, blockIdx.z, 0, c / FX_K_BLOCK * FX_K_BLOCK);
    double shift = sum / n, m2 = squares - sum * shift;
    m2 = m2 < 0 ? 0 : m2; /* NaN stays */
    to[c] = (float)((double)fx_map_load(origin).c[c % FX_K_BLOCK] + shift);
    to[stats.stride + c] = (float)(m2 / n);
    to[2 * stats.stride + c] = (float)(n > 1 ? m2 / (n - 1) : m2 / n);
}

template <class T>
static cudaError_t launch(const struct fx_k_launch *l, const struct fx_k_map *x, int first,
                          const fx_norm_cut &cut, const struct fx_k_stats *stats, float *scratch)
{
    cudaError_t error = FX_LAUNCH(norm_sums<T>, fx_norm_grid(cut, l->n_lanes), FX_NORM_THREADS, 0,
                                  l->stream, *x, cut, scratch);

    if (error != cudaSuccess)
        return error;
    return FX_LAUNCH(norm_moments<T>, fx_norm_final_grid(cut, l->n_lanes),
                     dim3(FX_NORM_FINAL_X, FX_NORM_FINAL_Y), 0, l->stream, *x, cut, first,
                     (const float *)scratch, *stats);
}

cudaError_t fx_k_norm_stats(const struct fx_k_launch *l, const struct fx_k_map *x, int first,
                            int rows, const struct fx_k_stats *stats, void *scratch)
{
    fx_norm_cut cut = fx_norm_sum_cut(rows, first, x->c, l->n_lanes);

    return l->bf16 ? launch<__nv_bfloat16>(l, x, first, cut, stats, (float *)scratch)
                   : launch<float>(l, x, first, cut, stats, (float *)scratch);
}
