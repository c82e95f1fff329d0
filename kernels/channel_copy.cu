/* Channels of one map to channels of another: whole blocks where both sides allow it, else value by
 * value. */
#include "launch.cuh"
#include "map_grid.cuh"

/* Where n_c channels come from and go to. */
struct channel_move {
    int from_c, to_c, n_c;
    int end; /* channels of `to` from to_c + n_c up to here become zeros */
};

/* All of from_c, to_c and n_c are multiples of a block. */
template <class T>
static __global__ void copy_blocks(fx_k_map from, fx_k_map to, int rows, int n_blocks,
                                   channel_move move)
{
    fx_map_place at = fx_map_thread(n_blocks);

    if (at.row >= rows)
        return;
    fx_map_block block =
        fx_map_load(fx_map_at<T>(from, at.lane, (size_t)at.row, move.from_c + at.first));
    fx_map_store(fx_map_at<T>(to, at.lane, (size_t)at.row, move.to_c + at.first), block);
}

template <class T>
static __global__ void copy_values(fx_k_map from, fx_k_map to, int rows, int n_blocks,
                                   channel_move move)
{
    fx_map_place at = fx_map_thread(n_blocks);

    if (at.row >= rows)
        return;
    for (int i = 0; i < FX_K_BLOCK; i++) {
        int c = at.first + i;

        if (move.to_c + c >= move.end)
            return;
        *fx_map_at<T>(to, at.lane, (size_t)at.row, move.to_c + c) =
            c < move.n_c ? *fx_map_at<T>(from, at.lane, (size_t)at.row, move.from_c + c) : T(0.0f);
    }
}

cudaError_t fx_k_copy(const struct fx_k_launch *l, const struct fx_k_map *from, int from_c,
                      const struct fx_k_map *to, int to_c, int n_c, int rows, bool clear)
{
    int end = to_c + n_c;
    channel_move move = { from_c, to_c, n_c, clear ? fx_map_blocks(end) * FX_K_BLOCK : end };
    int n_channels = move.end - to_c;
    dim3 grid = fx_map_grid(rows, n_channels, l->n_lanes);

    if (from_c % FX_K_BLOCK == 0 && to_c % FX_K_BLOCK == 0 && n_c % FX_K_BLOCK == 0)
        return FX_MAP_LAUNCH(l, copy_blocks, grid, *from, *to, rows, fx_map_blocks(n_channels),
                             move);
    return FX_MAP_LAUNCH(l, copy_values, grid, *from, *to, rows, fx_map_blocks(n_channels), move);
}
