/* What the kernels of BATCHNORM share.
 *
 * A block of threads has 256 of them: `tx` blocks of eight channels times `ty` rows.  grid.x counts
 * chunks of tx channel blocks, grid.y parts of the rows, grid.z lanes; a thread walks over the rows
 * of its part in steps of ty.  The shape depends on the map alone, so sums have one order on every
 * device. */
#ifndef FX_KERNELS_NORM_CUH
#define FX_KERNELS_NORM_CUH

#include "map_block.cuh"
#include "map_drop.cuh"

enum {
    FX_NORM_THREADS = 256,
    FX_NORM_MAX_TX = 32,
    FX_NORM_CHANNELS = FX_NORM_MAX_TX * FX_K_BLOCK, /* of a block of threads, at most */
};

/* How a map is cut. */
struct fx_norm_cut {
    int tx, ty;
    int first_block, n_blocks; /* of channels: those from first_block on are worked on */
    int n_parts, part_rows;
    int rows;
};

static inline int fx_norm_ceil(int a, int b)
{
    return (a + b - 1) / b;
}

/* The widest block of threads that leaves few of them idle. */
static inline int fx_norm_width(int n_blocks)
{
    int best = 8, tx = 1;

    if (n_blocks < 8) {
        while (tx < n_blocks)
            tx *= 2;
        return tx;
    }
    for (tx = 16; tx <= FX_NORM_MAX_TX; tx *= 2)
        if (fx_norm_ceil(n_blocks, tx) * tx <= fx_norm_ceil(n_blocks, best) * best)
            best = tx;
    return best;
}

/* Cuts rows x channels first .. c-1 of n_lanes lanes into about `n_wanted` blocks of threads, of
 * which each thread has at least `min_rows` rows. */
static inline fx_norm_cut fx_norm_cut_of(int rows, int first, int c, int n_lanes, int n_wanted,
                                         int min_rows)
{
    fx_norm_cut cut = {};
    int most, wanted;

    cut.first_block = first / FX_K_BLOCK;
    cut.n_blocks = fx_norm_ceil(c, FX_K_BLOCK) - cut.first_block;
    cut.tx = fx_norm_width(cut.n_blocks);
    cut.ty = FX_NORM_THREADS / cut.tx;
    cut.rows = rows;
    wanted = fx_norm_ceil(n_wanted, fx_norm_ceil(cut.n_blocks, cut.tx) * n_lanes);
    most = fx_norm_ceil(rows, cut.ty * min_rows);
    cut.n_parts = wanted < most ? wanted : most;
    cut.part_rows = fx_norm_ceil(fx_norm_ceil(rows, cut.n_parts), cut.ty) * cut.ty;
    cut.n_parts = fx_norm_ceil(rows, cut.part_rows);
    return cut;
}

/* For sums: 8 blocks of 256 threads on each of 132 multiprocessors. */
static inline fx_norm_cut fx_norm_sum_cut(int rows, int first, int c, int n_lanes)
{
    return fx_norm_cut_of(rows, first, c, n_lanes, 8 * 132, 4);
}

/* For passes that write: as many as give each thread a few rows. */
static inline fx_norm_cut fx_norm_pass_cut(int rows, int c, int n_lanes)
{
    return fx_norm_cut_of(rows, 0, c, n_lanes, 1 << 30, 4);
}

static inline dim3 fx_norm_grid(const fx_norm_cut &cut, int n_lanes)
{
    return dim3((unsigned)fx_norm_ceil(cut.n_blocks, cut.tx), (unsigned)cut.n_parts,
                (unsigned)n_lanes);
}

/* ---- in a kernel ----------------------------------------------------------------------------- */

/* What a thread works on. */
struct fx_norm_thread {
    int tx, ty;
    int first;    /* channel; behind the last block: nothing to do */
    bool is_idle; /* beyond the last block */
    int row, end; /* from `row` in steps of cut.ty to below `end` */
    unsigned lane;
};

static __device__ __forceinline__ fx_norm_thread fx_norm_thread_of(const fx_norm_cut &cut)
{
    fx_norm_thread t;
    int block;

    t.tx = (int)threadIdx.x % cut.tx;
    t.ty = (int)threadIdx.x / cut.tx;
    block = (int)blockIdx.x * cut.tx + t.tx;
    t.first = (cut.first_block + block) * FX_K_BLOCK;
    t.is_idle = block >= cut.n_blocks;
    t.row = (int)blockIdx.y * cut.part_rows + t.ty;
    t.end = min(cut.rows, ((int)blockIdx.y + 1) * cut.part_rows);
    t.lane = blockIdx.z;
    return t;
}

/* scale and shift of y = scale * x + shift, and the mean, of the channels of a block of threads. */
struct fx_norm_coefficients {
    float scale[FX_NORM_CHANNELS], shift[FX_NORM_CHANNELS], mean[FX_NORM_CHANNELS];
};

/* Fills them, in double as the other back ends do; channels beyond c get zeros.  All threads of the
 * block call it; it ends with a barrier. */
static __device__ __forceinline__ void fx_norm_load(const fx_k_norm &norm, const fx_norm_cut &cut,
                                                    int c, fx_norm_coefficients *k)
{
    unsigned lane = blockIdx.z;
    int i = (int)threadIdx.x;
    int channel = (cut.first_block + (int)blockIdx.x * cut.tx) * FX_K_BLOCK + i;

    if (i < cut.tx * FX_K_BLOCK) {
        k->scale[i] = k->shift[i] = k->mean[i] = 0.0f;
        if (channel < c) {
            double mean = norm.mean.data[lane * norm.mean.lane + channel];
            double var = norm.var.data[lane * norm.var.lane + channel];
            double scale =
                norm.weight.data[lane * norm.weight.lane + channel] / sqrt(var + (double)norm.eps);

            k->mean[i] = (float)mean;
            k->scale[i] = (float)scale;
            k->shift[i] = (float)(norm.bias.data[lane * norm.bias.lane + channel] - mean * scale);
        }
    }
    __syncthreads();
}

/* ---- sums over the rows of a block of threads --------------------------------------------------
 */

/* Two sums for each channel of a thread. */
struct fx_norm_pair {
    float a[FX_K_BLOCK], b[FX_K_BLOCK];
};

/* Adds the pairs of the threads with equal tx, in a fixed tree over ty, and writes them to the
 * scratch of this part: (lanes, parts, 2, channels).  All threads of the block call it. */
static __device__ __forceinline__ void fx_norm_reduce(const fx_norm_cut &cut,
                                                      const fx_norm_thread &t,
                                                      const fx_norm_pair &sums, float *scratch)
{
    __shared__ float shared[2 * FX_K_BLOCK][FX_NORM_THREADS];
    int n_channels = cut.n_blocks * FX_K_BLOCK;
    float *to =
        scratch + ((size_t)blockIdx.z * (size_t)cut.n_parts + blockIdx.y) * 2 * (size_t)n_channels;

#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++) {
        shared[i][threadIdx.x] = sums.a[i];
        shared[FX_K_BLOCK + i][threadIdx.x] = sums.b[i];
    }
    for (int half = cut.ty / 2; half > 0; half /= 2) {
        __syncthreads();
        if (t.ty < half)
#pragma unroll
            for (int i = 0; i < 2 * FX_K_BLOCK; i++)
                shared[i][threadIdx.x] += shared[i][threadIdx.x + (unsigned)(half * cut.tx)];
    }
    if (t.ty > 0 || t.is_idle)
        return;
    for (int i = 0; i < FX_K_BLOCK; i++) {
        int channel = t.first - cut.first_block * FX_K_BLOCK + i;

        to[channel] = shared[i][threadIdx.x];
        to[n_channels + channel] = shared[FX_K_BLOCK + i][threadIdx.x];
    }
}

/* The second level: threads (32, 8), channel by x, every eighth part by y. */
enum { FX_NORM_FINAL_X = 32, FX_NORM_FINAL_Y = 8 };

static inline dim3 fx_norm_final_grid(const fx_norm_cut &cut, int n_lanes)
{
    return dim3((unsigned)fx_norm_ceil(cut.n_blocks * FX_K_BLOCK, FX_NORM_FINAL_X), 1,
                (unsigned)n_lanes);
}

/* The sums over all parts of channel number blockIdx.x * 32 + threadIdx.x of the cut, for the
 * threads of y = 0.  All threads of the block call it. */
static __device__ __forceinline__ void fx_norm_total(const fx_norm_cut &cut, const float *scratch,
                                                     double *a, double *b)
{
    __shared__ double shared[2][FX_NORM_FINAL_Y][FX_NORM_FINAL_X];
    int n_channels = cut.n_blocks * FX_K_BLOCK;
    int channel = (int)(blockIdx.x * FX_NORM_FINAL_X + threadIdx.x);
    const float *from = scratch + (size_t)blockIdx.z * (size_t)cut.n_parts * 2 * (size_t)n_channels;
    double sums[2] = { 0, 0 };

    for (int part = (int)threadIdx.y; channel < n_channels && part < cut.n_parts;
         part += FX_NORM_FINAL_Y) {
        sums[0] += (double)from[(size_t)part * 2 * (size_t)n_channels + channel];
        sums[1] += (double)from[((size_t)part * 2 + 1) * (size_t)n_channels + channel];
    }
    shared[0][threadIdx.y][threadIdx.x] = sums[0];
    shared[1][threadIdx.y][threadIdx.x] = sums[1];
    __syncthreads();
    *a = *b = 0;
    for (int y = 0; threadIdx.y == 0 && y < FX_NORM_FINAL_Y; y++) {
        *a += shared[0][y][threadIdx.x];
        *b += shared[1][y][threadIdx.x];
    }
}

#endif
