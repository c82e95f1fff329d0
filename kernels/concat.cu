/* Channels of one map to channels of another, from anywhere to anywhere: bits, not numbers. */
#include "launch.cuh"
#include "map_block.cuh"

namespace
{

/* Where n_c channels come from and go to. */
struct channel_move {
    int from_c, to_c, n_c;
};

/* A block of channels as bits: T is uint16_t or uint32_t. */
template <class T> struct __align__(16) channel_bits
{
    T c[FX_K_BLOCK];
};

} // namespace

/* value[i] = value[i + step] for what is needed of it later, if `on`: select by select, so that the
 * values stay in registers. */
template <int step, class T>
static __device__ __forceinline__ void shift_if(bool on, T value[2 * FX_K_BLOCK])
{
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK + step - 1; i++)
        value[i] = on ? value[i + step] : value[i];
}

/* The values that go to channels first .. of `to`, from the one or two blocks of `from` that they
 * stand in; zeros where none do. */
template <class T>
static __device__ __forceinline__ channel_bits<T> gather(const fx_k_map &from,
                                                         const fx_map_thread_work &at,
                                                         const channel_move &move, int first)
{
    int source = move.from_c + first - move.to_c, shift = source & (FX_K_BLOCK - 1);
    int begin = max(source, move.from_c), end = min(source + FX_K_BLOCK, move.from_c + move.n_c);
    T window[2 * FX_K_BLOCK];
    channel_bits<T> result;

#pragma unroll
    for (int half = 0; half < 2; half++) {
        int c = source - shift + half * FX_K_BLOCK; /* of the half's first value */
        channel_bits<T> bits = {};

        if (begin < c + FX_K_BLOCK && end > c)
            bits = *(const channel_bits<T> *)fx_map_at<T>(from, at.lane, (size_t)at.row, c);
#pragma unroll
        for (int i = 0; i < FX_K_BLOCK; i++)
            window[half * FX_K_BLOCK + i] = bits.c[i];
    }
    shift_if<4>(shift & 4, window);
    shift_if<2>(shift & 2, window);
    shift_if<1>(shift & 1, window);
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++)
        result.c[i] = first + i < move.to_c + move.n_c ? window[i] : T(0);
    return result;
}

/* A thread for each block of `to` that something goes to; what is before it in the first block
 * stays. */
template <class T>
static __global__ void copy_channels(fx_k_map from, fx_k_map to, int rows, int n_blocks,
                                     channel_move move)
{
    fx_map_thread_work at = fx_map_thread(n_blocks);

    if (at.row >= rows)
        return;
    int first = move.to_c / FX_K_BLOCK * FX_K_BLOCK + at.first;
    channel_bits<T> bits = gather<T>(from, at, move, first);
    T *out = fx_map_at<T>(to, at.lane, (size_t)at.row, first);

    if (first >= move.to_c) {
        *(channel_bits<T> *)out = bits;
        return;
    }
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++)
        if (first + i >= move.to_c)
            out[i] = bits.c[i];
}

cudaError_t fx_k_copy(const struct fx_k_launch *l, const struct fx_k_map *from, int from_c,
                      const struct fx_k_map *to, int to_c, int n_c, int rows)
{
    channel_move move = { from_c, to_c, n_c };
    int n_blocks = fx_map_blocks(to_c + n_c) - to_c / FX_K_BLOCK;
    dim3 grid = fx_map_grid(rows, n_blocks * FX_K_BLOCK, l->n_lanes);

    if (l->bf16)
        return FX_LAUNCH(copy_channels<uint16_t>, grid, FX_MAP_THREADS, 0, l->stream, *from, *to,
                         rows, n_blocks, move);
    return FX_LAUNCH(copy_channels<uint32_t>, grid, FX_MAP_THREADS, 0, l->stream, *from, *to, rows,
                     n_blocks, move);
}
