/* Batch statistics of channels.
 *
 * A block of threads sums x - pivot and its square, the pivot being the first value of its own part
 * of the rows: however far the mean lies from zero, and whatever single value a pivot is, f32 loses
 * next to nothing beside the variance.  In double the sums are then referred to the channel's first
 * value, the same for all parts, so that they can be added. */
#include "launch.cuh"
#include "norm_rows.cuh"
#include "norm_sums.cuh"

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

template <class T>
static __global__ void __launch_bounds__(FX_NORM_THREADS, FX_NORM_RESIDENT)
    norm_sums(fx_k_map x, fx_norm_cut cut, double *scratch)
{
    constexpr int BATCH = fx_norm_batch<T>(1, false);
    __shared__ fx_norm_shared shared;
    fx_norm_thread t = fx_norm_thread_of(cut);
    fx_norm_way<const T> from = fx_norm_way_of<const T>(x, cut, t);
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
#pragma unroll
            for (int i = 0; i < FX_K_BLOCK; i++) {
                float d = v.c[i] - pivot.c[i];

                sums.a[i] += d;
                sums.b[i] += d * d;
            }
        }
        from.at += BATCH * from.step;
    }
    fx_norm_reduce(cut, t, sums, &shared);
    fx_norm_leave(cut, shared, scratch, [&](int c, fx_norm_totals about_pivot) {
        return shifted(about_pivot, n,
                       value_at<T>(x, blockIdx.z, part, c) - value_at<T>(x, blockIdx.z, 0, c));
    });
}

template <class T>
static __global__ void __launch_bounds__(FX_NORM_FINAL_X *FX_NORM_FINAL_Y)
    norm_moments(fx_k_map x, fx_norm_cut cut, int first, const double *scratch, fx_k_stats stats)
{
    int c = cut.first + (int)(blockIdx.x * FX_NORM_FINAL_X + threadIdx.x);
    float *to = stats.data + blockIdx.z * stats.lane;
    fx_norm_totals sums = fx_norm_total(cut, scratch);
    double n = cut.rows, offset = sums.a / n, m2 = sums.b - sums.a * offset;

    if (threadIdx.y > 0 || c < first || c >= cut.c)
        return;
    m2 = m2 < 0 ? 0 : m2; /* NaN stays NaN */
    to[c] = (float)(value_at<T>(x, blockIdx.z, 0, c) + offset);
    to[stats.stride + c] = (float)(m2 / n);
    to[2 * stats.stride + c] = (float)(n > 1 ? m2 / (n - 1) : m2 / n);
}

template <class T>
static cudaError_t launch(const struct fx_k_launch *l, const struct fx_k_map *x, int first,
                          const fx_norm_cut &cut, const struct fx_k_stats *stats, double *scratch)
{
    cudaError_t error = FX_LAUNCH(norm_sums<T>, fx_norm_grid(cut, l->n_lanes), FX_NORM_THREADS, 0,
                                  l->stream, *x, cut, scratch);

    if (error != cudaSuccess)
        return error;
    return FX_LAUNCH(norm_moments<T>, fx_norm_final_grid(cut, l->n_lanes), fx_norm_final_threads(),
                     0, l->stream, *x, cut, first, (const double *)scratch, *stats);
}

cudaError_t fx_k_norm_stats(const struct fx_k_launch *l, const struct fx_k_map *x, int first,
                            int rows, const struct fx_k_stats *stats, void *scratch)
{
    fx_norm_cut cut = fx_norm_sum_cut(rows, first, x->c, l->n_lanes, FX_NORM_RESIDENT);

    return l->bf16 ? launch<__nv_bfloat16>(l, x, first, cut, stats, (double *)scratch)
                   : launch<float>(l, x, first, cut, stats, (double *)scratch);
}

/* Fewer channels may be cut into more parts: the most that any `first` needs. */
size_t fx_k_norm_scratch(int rows, int c, int n_lanes)
{
    size_t most = 0;

    for (int first = 0; first < c; first += FX_K_BLOCK) {
        size_t n = fx_norm_partials(fx_norm_sum_cut(rows, first, c, n_lanes, FX_NORM_RESIDENT));

        most = n > most ? n : most;
    }
    return (size_t)n_lanes * most * sizeof(double);
}
