/* How the kernels of BATCHNORM divide a map among threads.
 *
 * A block of threads has 256 of them: `width` blocks of eight channels times `height` rows; what is
 * left over is idle.  grid.x counts chunks of `width` channel blocks, grid.y parts of the rows,
 * grid.z turns and in each the lanes.  A thread goes down its channel block by `height` rows at a
 * time, by batches of rows whose loads are on their way together (norm_rows.cuh).  The division
 * depends on the map, the number of lanes and that of the device's multiprocessors, so that sums
 * have one order on a device, and on all that have as many. */
#ifndef FX_KERNELS_NORM_ROWS_CUH
#define FX_KERNELS_NORM_ROWS_CUH

#include "mask.cuh"

enum {
    FX_NORM_THREADS = 256,
    FX_NORM_MAX_WIDTH = 64,
    FX_NORM_SUM_WIDTH = 8,  /* of sums: few partial sums, 128 bytes of a pixel in bf16 */
    FX_NORM_LEAST_ROWS = 4, /* of a thread, where there are enough */
    FX_NORM_RESIDENT = 3,   /* blocks of threads on a multiprocessor: up to 80 registers a thread */
};

struct fx_norm_cut {
    int first, c;      /* channels; first is a multiple of FX_K_BLOCK */
    int n_blocks;      /* of channels */
    int width, height; /* of a block of threads */
    int rows, n_parts, part_rows;
    int n_turns, turn_rows; /* a part is done in turns, its last rows first */
    int n_lanes;
};

static inline int fx_norm_ceil(int a, int b)
{
    return (a + b - 1) / b;
}

/* Cuts channels first .. c-1 (first is rounded down to a whole block) of n_lanes lanes into chunks
 * of at most max_width blocks so that there are at most n_wanted blocks of threads, if that is
 * possible. */
static inline fx_norm_cut fx_norm_cut_of(int rows, int first, int c, int n_lanes, int max_width,
                                         int n_wanted)
{
    fx_norm_cut cut = {};

    cut.first = first / FX_K_BLOCK * FX_K_BLOCK;
    cut.c = c;
    cut.rows = rows;
    cut.n_lanes = n_lanes;
    cut.n_blocks = fx_norm_ceil(c - cut.first, FX_K_BLOCK);
    int n_chunks = fx_norm_ceil(cut.n_blocks, max_width);
    cut.width = fx_norm_ceil(cut.n_blocks, n_chunks);
    cut.height = FX_NORM_THREADS / cut.width;

    int least = cut.height * FX_NORM_LEAST_ROWS, n_parts = n_wanted / (n_chunks * n_lanes);
    cut.part_rows = fx_norm_ceil(fx_norm_ceil(rows, n_parts < 1 ? 1 : n_parts), least) * least;
    cut.n_parts = fx_norm_ceil(rows, cut.part_rows);
    cut.turn_rows = cut.part_rows;
    cut.n_turns = 1;
    return cut;
}

/* For sums: all blocks of threads at once on the device, no more, for few partial sums and no
 * second turn; `resident` of them on a multiprocessor.  Narrow and tall, for the last block of a
 * chunk has to read what all of them have left. */
static inline fx_norm_cut fx_norm_sum_cut(const fx_k_launch *l, int rows, int first, int c,
                                          int resident)
{
    return fx_norm_cut_of(rows, first, c, l->n_lanes, FX_NORM_SUM_WIDTH,
                          l->n_processors * resident);
}

/* For passes that write a map: several times as many, so that none waits long for the last.  The
 * blocks of sums run all at once, so what the L2 holds behind them are the ends of all parts of all
 * lanes.  A pass goes back through these parts, and begins with what it still finds there. */
static inline fx_norm_cut fx_norm_pass_cut(const fx_k_launch *l, int rows, int c)
{
    fx_norm_cut sums = fx_norm_sum_cut(l, rows, 0, c, FX_NORM_RESIDENT);
    fx_norm_cut cut = fx_norm_cut_of(rows, 0, c, l->n_lanes, FX_NORM_MAX_WIDTH,
                                     4 * l->n_processors * FX_NORM_RESIDENT);

    cut.part_rows = sums.part_rows;
    cut.n_parts = sums.n_parts;
    cut.n_turns = fx_norm_ceil(cut.part_rows, cut.turn_rows);
    return cut;
}

static inline dim3 fx_norm_grid(const fx_norm_cut &cut)
{
    return dim3((unsigned)fx_norm_ceil(cut.n_blocks, cut.width), (unsigned)cut.n_parts,
                (unsigned)(cut.n_turns * cut.n_lanes));
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
    int part = (int)blockIdx.y * cut.part_rows, z = (int)blockIdx.z;
    int turn = part + (cut.n_turns - 1 - z / cut.n_lanes) * cut.turn_rows;
    fx_norm_thread t;

    t.y = (int)threadIdx.x / cut.width;
    t.x = (int)threadIdx.x - t.y * cut.width;
    int block = (int)blockIdx.x * cut.width + t.x;
    t.first = cut.first + block * FX_K_BLOCK;
    t.row = turn + t.y;
    t.end = min(cut.rows, min(part + cut.part_rows, turn + cut.turn_rows));
    if (t.y >= cut.height || block >= cut.n_blocks)
        t.end = 0;
    t.lane = (unsigned)(z % cut.n_lanes);
    return t;
}

/* Rows on their way: a thread loads a batch of them before it uses the first, and keeps them as
 * they lie in memory until then. */

/* Rows of a batch: 64 bytes of each thread are on their way, from all maps that are read; at least
 * one row. */
template <class T> static __device__ constexpr int fx_norm_batch(int n_maps)
{
    int n_rows = 64 / (FX_K_BLOCK * (int)sizeof(T) * n_maps);

    return n_rows > 0 ? n_rows : 1;
}

/* A block of channels as it lies in memory. */
template <class T> struct fx_norm_packed;

template <> struct fx_norm_packed<float> {
    float4 a, b;
};

template <> struct fx_norm_packed<__nv_bfloat16> {
    uint4 pairs;
};

/* Of a dropout's mask. */
template <> struct fx_norm_packed<uint8_t> {
    uint8_t kept;
};

static __device__ __forceinline__ fx_map_block fx_norm_unpack(const fx_norm_packed<float> &p)
{
    return { { p.a.x, p.a.y, p.a.z, p.a.w, p.b.x, p.b.y, p.b.z, p.b.w } };
}

/* A bf16 is the upper half of a float. */
static __device__ __forceinline__ fx_map_block
fx_norm_unpack(const fx_norm_packed<__nv_bfloat16> &p)
{
    uint32_t pairs[] = { p.pairs.x, p.pairs.y, p.pairs.z, p.pairs.w };
    fx_map_block block;

#pragma unroll
    for (int i = 0; i < FX_K_BLOCK / 2; i++) {
        block.c[2 * i] = __uint_as_float(pairs[i] << 16);
        block.c[2 * i + 1] = __uint_as_float(pairs[i] & 0xffff0000u);
    }
    return block;
}

/* A thread's way down its channels of a map; T is const where the map is read only. */
template <class T> struct fx_norm_way {
    T *at;         /* the thread's next row */
    unsigned step; /* to the one after it */
};

template <class T>
static __device__ __forceinline__ fx_norm_way<T> fx_norm_way_of(const fx_k_map &map,
                                                                const fx_norm_cut &cut,
                                                                const fx_norm_thread &t)
{
    return { fx_map_at<T>(map, t.lane, (size_t)t.row, t.first), (unsigned)(cut.height * map.ld) };
}

/* The same down a dropout's mask; without one it leads nowhere. */
static __device__ __forceinline__ fx_norm_way<uint8_t> fx_norm_mask_way_of(const fx_k_mask &mask,
                                                                           const fx_norm_cut &cut,
                                                                           const fx_norm_thread &t)
{
    return { fx_mask_at(mask, t.lane, t.row, t.first, cut.n_blocks),
             (unsigned)(cut.height * cut.n_blocks) };
}

/* Whether row i of the batch that begins at `row` is there. */
static __device__ __forceinline__ bool fx_norm_has(const fx_norm_cut &cut, const fx_norm_thread &t,
                                                   int row, int i)
{
    return row + i * cut.height < t.end;
}

/* Loads those of N rows that are there. */
template <class T, int N>
static __device__ __forceinline__ void fx_norm_load(const fx_norm_way<const T> &way,
                                                    const fx_norm_cut &cut, const fx_norm_thread &t,
                                                    int row, fx_norm_packed<T> (&batch)[N])
{
#pragma unroll
    for (int i = 0; i < N; i++)
        if (fx_norm_has(cut, t, row, i))
            batch[i] = *reinterpret_cast<const fx_norm_packed<T> *>(way.at + (size_t)i * way.step);
}

#endif
