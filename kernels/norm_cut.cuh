/* How the kernels of BATCHNORM divide a map among threads.
 *
 * A block of threads has 256 of them: `width` blocks of eight channels times `height` rows; what is
 * left over is idle.  grid.x counts chunks of `width` channel blocks, grid.y parts of the rows,
 * grid.z lanes.  A thread goes down its channel block by `height` rows at a time, by batches of
 * rows whose loads are on their way together (norm_rows.cuh).  The division depends on the map and
 * on the number of lanes alone, so that sums have one order on every device. */
#ifndef FX_KERNELS_NORM_CUT_CUH
#define FX_KERNELS_NORM_CUT_CUH

#include "map_block.cuh"

enum {
    FX_NORM_THREADS = 256,
    FX_NORM_MAX_WIDTH = 64,
    FX_NORM_LEAST_ROWS = 4, /* of a thread, where there are enough */
    FX_NORM_RESIDENT = 3,   /* blocks of threads on a multiprocessor: up to 80 registers a thread */
    FX_NORM_PROCESSORS = 132, /* multiprocessors of an H200 */
};

struct fx_norm_cut {
    int first, c;      /* channels; first is a multiple of FX_K_BLOCK */
    int n_blocks;      /* of channels */
    int width, height; /* of a block of threads */
    int rows, n_parts, part_rows;
};

static inline int fx_norm_ceil(int a, int b)
{
    return (a + b - 1) / b;
}

/* Cuts channels first .. c-1 (first is rounded down to a whole block) of n_lanes lanes so that
 * there are at most n_wanted blocks of threads, if that is possible. */
static inline fx_norm_cut fx_norm_cut_of(int rows, int first, int c, int n_lanes, int n_wanted)
{
    fx_norm_cut cut = {};

    cut.first = first / FX_K_BLOCK * FX_K_BLOCK;
    cut.c = c;
    cut.rows = rows;
    cut.n_blocks = fx_norm_ceil(c - cut.first, FX_K_BLOCK);
    int n_chunks = fx_norm_ceil(cut.n_blocks, FX_NORM_MAX_WIDTH);
    cut.width = fx_norm_ceil(cut.n_blocks, n_chunks);
    cut.height = FX_NORM_THREADS / cut.width;

    int least = cut.height * FX_NORM_LEAST_ROWS, n_parts = n_wanted / (n_chunks * n_lanes);
    cut.part_rows = fx_norm_ceil(fx_norm_ceil(rows, n_parts < 1 ? 1 : n_parts), least) * least;
    cut.n_parts = fx_norm_ceil(rows, cut.part_rows);
    return cut;
}

/* For sums: all blocks of threads at once on the device, no more, for few partial sums and no
 * second turn; `resident` of them on a multiprocessor. */
static inline fx_norm_cut fx_norm_sum_cut(int rows, int first, int c, int n_lanes, int resident)
{
    return fx_norm_cut_of(rows, first, c, n_lanes, FX_NORM_PROCESSORS * resident);
}

/* For passes that write a map: several times as many, so that none waits long for the last. */
static inline fx_norm_cut fx_norm_pass_cut(int rows, int c, int n_lanes)
{
    return fx_norm_cut_of(rows, 0, c, n_lanes, 4 * FX_NORM_PROCESSORS * FX_NORM_RESIDENT);
}

static inline dim3 fx_norm_grid(const fx_norm_cut &cut, int n_lanes)
{
    return dim3((unsigned)fx_norm_ceil(cut.n_blocks, cut.width), (unsigned)cut.n_parts,
                (unsigned)n_lanes);
}

/* ---- in a kernel ---------------------------------------------------------------------------- */

/* What a thread works on. */
struct fx_norm_thread {
    int x, y;     /* its position in the block of threads */
    int first;    /* channel */
    int row, end; /* from `row` in steps of cut.height to below `end`; idle: none */
    unsigned lane;
};

static __device__ __forceinline__ fx_norm_thread fx_norm_thread_of(const fx_norm_cut &cut)
{
    int part = (int)blockIdx.y * cut.part_rows;
    fx_norm_thread t;

    t.y = (int)threadIdx.x / cut.width;
    t.x = (int)threadIdx.x - t.y * cut.width;
    int block = (int)blockIdx.x * cut.width + t.x;
    t.first = cut.first + block * FX_K_BLOCK;
    t.row = part + t.y;
    t.end = min(cut.rows, part + cut.part_rows);
    if (t.y >= cut.height || block >= cut.n_blocks)
        t.end = 0;
    t.lane = blockIdx.z;
    return t;
}

#endif
