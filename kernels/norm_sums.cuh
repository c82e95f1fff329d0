/* Two sums over the rows of a map for each channel, in two levels and in one order: a block of
 * threads sums its part of the rows, in f32 pairwise, and leaves partial sums in scratch; a second
 * kernel adds those in double. */
#ifndef FX_KERNELS_NORM_SUMS_CUH
#define FX_KERNELS_NORM_SUMS_CUH

#include "norm_rows.cuh"
#include "sums.cuh"

/* Two sums for each channel of a thread. */
struct fx_norm_pair {
    float a[FX_K_BLOCK], b[FX_K_BLOCK];
};

/* In shared memory: of each thread; once they are added up, those of a block of threads lie where
 * its first row of threads had its own. */
struct fx_norm_shared {
    float a[FX_K_BLOCK][FX_NORM_THREADS], b[FX_K_BLOCK][FX_NORM_THREADS];
};

/* Adds up the pairs of the threads of equal x.  All threads of the block call it, once; it ends
 * with a barrier. */
static __device__ __forceinline__ void fx_norm_reduce(const fx_norm_cut &cut,
                                                      const fx_norm_thread &t,
                                                      const fx_norm_pair &sums,
                                                      fx_norm_shared *shared)
{
    unsigned self = threadIdx.x;

#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++) {
        shared->a[i][self] = sums.a[i];
        shared->b[i][self] = sums.b[i];
    }
    __syncthreads();
    for (int n = cut.height, half; n > 1; n = half) {
        half = (n + 1) / 2;
        unsigned other = self + (unsigned)(half * cut.width);
        for (int i = 0; t.y < n - half && i < FX_K_BLOCK; i++) {
            shared->a[i][self] += shared->a[i][other];
            shared->b[i][self] += shared->b[i][other];
        }
        __syncthreads();
    }
}

/* Partial sums: (lanes, parts, 2, channels) doubles; how many a lane has. */
static inline size_t fx_norm_partials(const fx_norm_cut &cut)
{
    return (size_t)cut.n_parts * 2 * (size_t)cut.n_blocks * FX_K_BLOCK;
}

/* Where those of a part lie: the second ones n_blocks * FX_K_BLOCK behind the first. */
static __device__ __forceinline__ size_t fx_norm_partial(const fx_norm_cut &cut, unsigned lane,
                                                         unsigned part)
{
    return ((size_t)lane * (size_t)cut.n_parts + part) * 2 * (size_t)cut.n_blocks * FX_K_BLOCK;
}

struct fx_norm_totals {
    double a, b;
};

/* Leaves the sums of a block of threads as partial sums, as `refer` makes them of (channel, sums).
 * All threads of the block call it. */
template <class Refer>
static __device__ __forceinline__ void fx_norm_leave(const fx_norm_cut &cut,
                                                     const fx_norm_shared &shared, double *scratch,
                                                     Refer refer)
{
    int n_channels = cut.n_blocks * FX_K_BLOCK, chunk = cut.width * FX_K_BLOCK;
    int first = (int)blockIdx.x * chunk, n = min(chunk, n_channels - first);
    double *to = scratch + fx_norm_partial(cut, blockIdx.z, blockIdx.y) + first;

    for (int i = (int)threadIdx.x; i < n; i += FX_NORM_THREADS) {
        double a = (double)shared.a[i % FX_K_BLOCK][i / FX_K_BLOCK];
        double b = (double)shared.b[i % FX_K_BLOCK][i / FX_K_BLOCK];
        fx_norm_totals sums = refer(cut.first + first + i, fx_norm_totals{ a, b });

        to[i] = sums.a;
        to[n_channels + i] = sums.b;
    }
}

/* ---- the second level: (32, 32) threads for 32 channels; threadIdx.y takes every 32nd part ----
 */

enum { FX_NORM_FINAL_X = 32, FX_NORM_FINAL_Y = 32 };

static inline dim3 fx_norm_final_grid(const fx_norm_cut &cut, int n_lanes)
{
    return dim3((unsigned)fx_norm_ceil(cut.n_blocks * FX_K_BLOCK, FX_NORM_FINAL_X), 1,
                (unsigned)n_lanes);
}

static inline dim3 fx_norm_final_threads(void)
{
    return dim3(FX_NORM_FINAL_X, FX_NORM_FINAL_Y);
}

/* The sums over all rows of channel number blockIdx.x * 32 + threadIdx.x of the cut, for the
 * threads of y = 0.  All threads of the block call it. */
static __device__ __forceinline__ fx_norm_totals fx_norm_total(const fx_norm_cut &cut,
                                                               const double *scratch)
{
    int n_channels = cut.n_blocks * FX_K_BLOCK;
    int channel = (int)(blockIdx.x * FX_NORM_FINAL_X + threadIdx.x);
    int end = channel < n_channels ? cut.n_parts : 0;
    double a = 0, b = 0;

#pragma unroll 4
    for (int part = (int)threadIdx.y; part < end; part += FX_NORM_FINAL_Y) {
        const double *from = scratch + fx_norm_partial(cut, blockIdx.z, (unsigned)part) + channel;

        a += from[0];
        b += from[n_channels];
    }
    a = fx_column_sum<FX_NORM_FINAL_Y>(a);
    b = fx_column_sum<FX_NORM_FINAL_Y>(b);
    return { a, b };
}

#endif
