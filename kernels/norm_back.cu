/* BATCHNORM backward: two sums over the batch, from which the parameters' gradients and the
 * coefficients of dx follow; then the pass that writes or adds dx. */
#include "launch.cuh"
#include "norm.cuh"

/* g: the gradient behind dropout and ReLU, of a block of channels whose input is v. */
template <bool DROPS>
static __device__ __forceinline__ fx_map_block before_relu(const fx_k_norm &norm,
                                                           const fx_norm_coefficients &k,
                                                           const fx_norm_thread &t, int row,
                                                           const fx_map_block &v, fx_map_block g)
{
    int at = t.tx * FX_K_BLOCK;

    if (DROPS)
        fx_map_drop(norm.drop, t.lane, row, t.first, &g);
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++)
        g.c[i] = norm.relu && k.scale[at + i] * v.c[i] + k.shift[at + i] <= 0.0f ? 0.0f : g.c[i];
    return g;
}

/* ---- sums ------------------------------------------------------------------------------------ */

template <class T, bool DROPS>
static __global__ void __launch_bounds__(FX_NORM_THREADS)
    norm_back_sums(fx_k_map x, fx_k_map dy, fx_norm_cut cut, fx_k_norm norm, float *scratch)
{
    __shared__ fx_norm_coefficients k;
    fx_norm_thread t = fx_norm_thread_of(cut);
    fx_norm_pair sums = {};

    fx_norm_load(norm, cut, x.c, &k);
#pragma unroll 4
    for (int row = t.row; !t.is_idle && row < t.end; row += cut.ty) {
        fx_map_block v = fx_map_load(fx_map_at<T>(x, t.lane, (size_t)row, t.first));
        fx_map_block g = fx_map_load(fx_map_at<T>(dy, t.lane, (size_t)row, t.first));

        g = before_relu<DROPS>(norm, k, t, row, v, g);
#pragma unroll
        for (int i = 0; i < FX_K_BLOCK; i++) {
            sums.a[i] += g.c[i];
            sums.b[i] += g.c[i] * (v.c[i] - k.mean[t.tx * FX_K_BLOCK + i]);
        }
    }
    fx_norm_reduce(cut, t, sums, scratch);
}

/* Where the results of the sums go. */
struct norm_back_results {
    fx_k_array d_weight, d_bias;
    bool accumulate;
    float *coef; /* (lanes, 3, padded c): slope, bend, lift */
};

static __device__ __forceinline__ void put(float *to, double value, bool accumulate)
{
    *to = accumulate ? *to + (float)value : (float)value;
}

static __global__ void norm_back_finish(fx_norm_cut cut, int n_c, fx_k_norm norm,
                                        const float *scratch, norm_back_results results)
{
    unsigned lane = blockIdx.z;
    int c = (int)(blockIdx.x * FX_NORM_FINAL_X + threadIdx.x), stride = cut.n_blocks * FX_K_BLOCK;
    float *coef = results.coef + lane * 3u * (unsigned)stride + c;
    double sum_g, sum_gx, n = cut.rows;

    fx_norm_total(cut, scratch, &sum_g, &sum_gx);
    if (threadIdx.y > 0 || c >= stride)
        return;
    if (c >= n_c) {
        coef[0] = coef[stride] = coef[2 * stride] = 0.0f;
        return;
    }
    double var = norm.var.data[lane * norm.var.lane + c];
    double invstd = 1 / sqrt(var + (double)norm.eps);
    double scale = norm.weight.data[lane * norm.weight.lane + c] * invstd;
    put(results.d_weight.data + lane * results.d_weight.lane + c, sum_gx * invstd,
        results.accumulate);
    put(results.d_bias.data + lane * results.d_bias.lane + c, sum_g, results.accumulate);
    coef[0] = (float)scale;
    coef[stride] = (float)(-scale * invstd * invstd * sum_gx / n);
    coef[2 * stride] = (float)(-scale * sum_g / n);
}

template <class T>
static cudaError_t launch_sums(const struct fx_k_launch *l, const struct fx_k_map *x,
                               const struct fx_k_map *dy, const fx_norm_cut &cut,
                               const struct fx_k_norm *norm, float *scratch)
{
    dim3 grid = fx_norm_grid(cut, l->n_lanes);

    return norm->drop.p > 0 ? FX_LAUNCH((norm_back_sums<T, true>), grid, FX_NORM_THREADS, 0,
                                        l->stream, *x, *dy, cut, *norm, scratch)
                            : FX_LAUNCH((norm_back_sums<T, false>), grid, FX_NORM_THREADS, 0,
                                        l->stream, *x, *dy, cut, *norm, scratch);
}

cudaError_t fx_k_norm_back_sums(const struct fx_k_launch *l, const struct fx_k_map *x,
                                const struct fx_k_map *dy, int rows, const struct fx_k_norm *norm,
                                struct fx_k_array d_weight, struct fx_k_array d_bias,
                                bool accumulate, float *coef, void *scratch)
{
    fx_norm_cut cut = fx_norm_sum_cut(rows, 0, x->c, l->n_lanes);
    norm_back_results results = { d_weight, d_bias, accumulate, coef };
    cudaError_t error = l->bf16 ? launch_sums<__nv_bfloat16>(l, x, dy, cut, norm, (float *)scratch)
                                : launch_sums<float>(l, x, dy, cut, norm, (float *)scratch);

    if (error != cudaSuccess)
        return error;
    return FX_LAUNCH(norm_back_finish, fx_norm_final_grid(cut, l->n_lanes),
                     dim3(FX_NORM_FINAL_X, FX_NORM_FINAL_Y), 0, l->stream, cut, x->c, *norm,
                     (const float *)scratch, results);
}

/* ---- dx -------------------------------------------------------------------------------------- */

/* dx of a thread's channels, of which those beyond the last are zero. */
static __device__ __forceinline__ fx_map_block slope_of(const float *coef, int stride,
                                                        const fx_norm_coefficients &k,
                                                        const fx_norm_thread &t, int n_c,
                                                        const fx_map_block &v,
                                                        const fx_map_block &g)
{
    const float *from = coef + t.lane * 3u * (unsigned)stride + t.first;
    fx_map_block dx;

#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++) {
        float centred = v.c[i] - k.mean[t.tx * FX_K_BLOCK + i];

        dx.c[i] = from[i] * g.c[i] + from[stride + i] * centred + from[2 * stride + i];
        dx.c[i] = t.first + i < n_c ? dx.c[i] : 0.0f;
    }
    return dx;
}

template <class T, bool DROPS, bool ADDS>
static __global__ void __launch_bounds__(FX_NORM_THREADS)
    norm_back_apply(fx_k_map x, fx_k_map dy, fx_k_map dx, fx_norm_cut cut, fx_k_norm norm,
                    const float *coef)
{
    __shared__ fx_norm_coefficients k;
    fx_norm_thread t = fx_norm_thread_of(cut);
    int stride = cut.n_blocks * FX_K_BLOCK;

    fx_norm_load(norm, cut, x.c, &k);
#pragma unroll 2
    for (int row = t.row; !t.is_idle && row < t.end; row += cut.ty) {
        fx_map_block v = fx_map_load(fx_map_at<T>(x, t.lane, (size_t)row, t.first));
        fx_map_block g = fx_map_load(fx_map_at<T>(dy, t.lane, (size_t)row, t.first));
        T *to = fx_map_at<T>(dx, t.lane, (size_t)row, t.first);
        fx_map_block old = {}, d;

        if (ADDS)
            old = fx_map_load(to);
        g = before_relu<DROPS>(norm, k, t, row, v, g);
        d = slope_of(coef, stride, k, t, x.c, v, g);
        if (ADDS)
#pragma unroll
            for (int i = 0; i < FX_K_BLOCK; i++) /* beyond the last: somebody else's, as it was */
                d.c[i] = t.first + i < x.c ? old.c[i] + d.c[i] : old.c[i];
        fx_map_store(to, d);
    }
}

template <class T, bool DROPS>
static cudaError_t launch_apply(const struct fx_k_launch *l, const struct fx_k_map *x,
                                const struct fx_k_map *dy, const struct fx_k_map *dx,
                                const fx_norm_cut &cut, const struct fx_k_norm *norm,
                                const float *coef, bool add)
{
    dim3 grid = fx_norm_grid(cut, l->n_lanes);

    return add ? FX_LAUNCH((norm_back_apply<T, DROPS, true>), grid, FX_NORM_THREADS, 0, l->stream,
                           *x, *dy, *dx, cut, *norm, coef)
               : FX_LAUNCH((norm_back_apply<T, DROPS, false>), grid, FX_NORM_THREADS, 0, l->stream,
                           *x, *dy, *dx, cut, *norm, coef);
}

template <class T>
static cudaError_t launch_for(const struct fx_k_launch *l, const struct fx_k_map *x,
                              const struct fx_k_map *dy, const struct fx_k_map *dx,
                              const fx_norm_cut &cut, const struct fx_k_norm *norm,
                              const float *coef, bool add)
{
    return norm->drop.p > 0 ? launch_apply<T, true>(l, x, dy, dx, cut, norm, coef, add)
                            : launch_apply<T, false>(l, x, dy, dx, cut, norm, coef, add);
}

cudaError_t fx_k_norm_back_apply(const struct fx_k_launch *l, const struct fx_k_map *x,
                                 const struct fx_k_map *dy, const struct fx_k_map *dx, int rows,
                                 const struct fx_k_norm *norm, const float *coef, bool add)
{
    fx_norm_cut cut = fx_norm_pass_cut(rows, x->c, l->n_lanes);

    return l->bf16 ? launch_for<__nv_bfloat16>(l, x, dy, dx, cut, norm, coef, add)
                   : launch_for<float>(l, x, dy, dx, cut, norm, coef, add);
}
