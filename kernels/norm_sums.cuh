/* Two sums over the rows of a map for each channel, in two levels and in one order: a block of
 * threads sums its part of the rows, in f32 pairwise, and leaves partial sums in scratch; the last
 * one of a chunk of channels adds those of all parts, in double, and finishes what they are for. */
#ifndef FX_KERNELS_NORM_SUMS_CUH
#define FX_KERNELS_NORM_SUMS_CUH

#include "last_block.cuh"
#include "norm_rows.cuh"

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

/* What the blocks of threads of a launch share. */
struct fx_norm_scratch {
    double *partials;
    unsigned *tickets; /* (lanes, chunks) */
};

static inline fx_norm_scratch fx_norm_scratch_of(const fx_k_launch *l, void *scratch)
{
    return { (double *)scratch, l->tickets };
}

struct fx_norm_totals {
    double a, b;
};

/* The channels of a block of threads: `first` counts from the cut's. */
struct fx_norm_chunk {
    int first, n;
};

static __device__ __forceinline__ fx_norm_chunk fx_norm_chunk_of(const fx_norm_cut &cut)
{
    int width = cut.width * FX_K_BLOCK, first = (int)blockIdx.x * width;

    return { first, min(width, cut.n_blocks * FX_K_BLOCK - first) };
}

/* Leaves the sums of a block of threads as partial sums, as `refer` makes them of (channel, sums).
 * All threads of the block call it. */
template <class Refer>
static __device__ __forceinline__ void fx_norm_leave(const fx_norm_cut &cut,
                                                     const fx_norm_chunk &chunk,
                                                     const fx_norm_shared &shared, double *partials,
                                                     Refer refer)
{
    int i = (int)threadIdx.x;
    double *to = partials + fx_norm_partial(cut, blockIdx.z, blockIdx.y) + chunk.first + i;

    static_assert(FX_NORM_SUM_WIDTH * FX_K_BLOCK <= FX_NORM_THREADS, "a thread for each channel");
    if (i >= chunk.n)
        return;
    double a = (double)shared.a[i % FX_K_BLOCK][i / FX_K_BLOCK];
    double b = (double)shared.b[i % FX_K_BLOCK][i / FX_K_BLOCK];
    fx_norm_totals sums = refer(cut.first + chunk.first + i, fx_norm_totals{ a, b });
    to[0] = sums.a;
    to[cut.n_blocks * FX_K_BLOCK] = sums.b;
}

/* The sums over all parts of channel i of the chunk, for thread i.  All threads of the block call
 * it: chunk.n of them side by side, and of these rows each takes every height-th part. */
static __device__ __forceinline__ fx_norm_totals fx_norm_total(const fx_norm_cut &cut,
                                                               const fx_norm_chunk &chunk,
                                                               const double *partials)
{
    __shared__ fx_norm_totals rows[FX_NORM_THREADS];
    int self = (int)threadIdx.x, height = FX_NORM_THREADS / chunk.n;
    int x = self % chunk.n, y = self / chunk.n, end = y < height ? cut.n_parts : 0;
    fx_norm_totals sums = {};

#pragma unroll 4
    for (int part = y; part < end; part += height) {
        const double *from =
            partials + fx_norm_partial(cut, blockIdx.z, (unsigned)part) + chunk.first + x;

        sums.a += from[0];
        sums.b += from[cut.n_blocks * FX_K_BLOCK];
    }
    rows[self] = sums;
    __syncthreads();
    for (int i = 1; y == 0 && i < height; i++) {
        sums.a += rows[i * chunk.n + x].a;
        sums.b += rows[i * chunk.n + x].b;
    }
    return sums;
}

/* What follows fx_norm_reduce: leaves the sums of a block of threads, and of the last block of its
 * chunk has a thread finish(channel, sums over all rows) for each channel.  All threads of the
 * block call it. */
template <class Refer, class Finish>
static __device__ __forceinline__ void fx_norm_finish(const fx_norm_cut &cut,
                                                      const fx_norm_shared &shared,
                                                      const fx_norm_scratch &scratch, Refer refer,
                                                      Finish finish)
{
    fx_norm_chunk chunk = fx_norm_chunk_of(cut);

    fx_norm_leave(cut, chunk, shared, scratch.partials, refer);
    if (!fx_is_last_block(scratch.tickets + blockIdx.z * gridDim.x + blockIdx.x, gridDim.y))
        return;
    fx_norm_totals sums = fx_norm_total(cut, chunk, scratch.partials);
    if ((int)threadIdx.x < chunk.n)
        finish(cut.first + chunk.first + (int)threadIdx.x, sums);
}

#endif
