/* Sums, ReLU and dropout of maps: every thread has a block of eight channels of its own, so results
 * may lie over inputs. */
#include "launch.cuh"
#include "mask.cuh"

/* NaN passes. */
static __device__ __forceinline__ float relu_of(float x)
{
    return x <= 0.0f ? 0.0f : x;
}

template <class T>
static __global__ void add(fx_k_map a, fx_k_map b, fx_k_map y, int rows, int n_blocks, bool relu)
{
    fx_map_thread_work at = fx_map_thread(n_blocks);

    if (at.row >= rows)
        return;
    fx_map_block u = fx_map_load(fx_map_at<T>(a, at)), v = fx_map_load(fx_map_at<T>(b, at));
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++) {
        u.c[i] += v.c[i];
        u.c[i] = relu ? relu_of(u.c[i]) : u.c[i];
    }
    fx_map_store(fx_map_at<T>(y, at), u);
}

cudaError_t fx_k_add(const struct fx_k_launch *l, const struct fx_k_map *a,
                     const struct fx_k_map *b, const struct fx_k_map *y, int rows, bool relu)
{
    return FX_MAP_LAUNCH(l, add, fx_map_grid(rows, y->c, l->n_lanes), *a, *b, *y, rows,
                         fx_map_blocks(y->c), relu);
}

template <class T>
static __global__ void relu_back(fx_k_map y, fx_k_map dy, fx_k_map dx, int rows, int n_blocks)
{
    fx_map_thread_work at = fx_map_thread(n_blocks);

    if (at.row >= rows)
        return;
    fx_map_block out = fx_map_load(fx_map_at<T>(y, at)), g = fx_map_load(fx_map_at<T>(dy, at));
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++)
        g.c[i] = out.c[i] <= 0.0f ? 0.0f : g.c[i];
    fx_map_store(fx_map_at<T>(dx, at), g);
}

cudaError_t fx_k_relu_back(const struct fx_k_launch *l, const struct fx_k_map *y,
                           const struct fx_k_map *dy, const struct fx_k_map *dx, int rows)
{
    return FX_MAP_LAUNCH(l, relu_back, fx_map_grid(rows, y->c, l->n_lanes), *y, *dy, *dx, rows,
                         fx_map_blocks(y->c));
}

/* Stores the first n channels of a block; what lies behind them is somebody else's. */
template <class T>
static __device__ __forceinline__ void store_first(T *at, const fx_map_block &block, int n)
{
    if (n >= FX_K_BLOCK) {
        fx_map_store(at, block);
        return;
    }
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK - 1; i++)
        if (i < n)
            at[i] = T(block.c[i]);
}

template <class T>
static __global__ void add_into(fx_k_map src, fx_k_map dst, int rows, int n_blocks)
{
    fx_map_thread_work at = fx_map_thread(n_blocks);

    if (at.row >= rows)
        return;
    T *to = fx_map_at<T>(dst, at);
    fx_map_block u = fx_map_load(fx_map_at<T>(src, at)), v = fx_map_load((const T *)to);
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++)
        v.c[i] += u.c[i];
    store_first(to, v, src.c - at.first);
}

cudaError_t fx_k_add_into(const struct fx_k_launch *l, const struct fx_k_map *src,
                          const struct fx_k_map *dst, int rows)
{
    return FX_MAP_LAUNCH(l, add_into, fx_map_grid(rows, src->c, l->n_lanes), *src, *dst, rows,
                         fx_map_blocks(src->c));
}

template <class T>
static __device__ __forceinline__ void drop_block(const fx_k_map &x, const fx_k_map &y,
                                                  const fx_map_thread_work &at, unsigned kept,
                                                  float factor)
{
    fx_map_block block = fx_map_load(fx_map_at<T>(x, at));

    fx_mask_apply(kept, factor, &block);
    fx_map_store(fx_map_at<T>(y, at), block);
}

template <class T>
static __global__ void drop_map(fx_k_map x, fx_k_map y, int rows, int n_blocks, fx_k_mask mask)
{
    fx_map_thread_work at = fx_map_thread(n_blocks);

    if (at.row < rows)
        drop_block<T>(x, y, at, *fx_mask_at(mask, at.lane, at.row, at.first, n_blocks),
                      mask.factor);
}

template <class T>
static __global__ void drop_map_drawn(fx_k_map x, fx_k_map y, int rows, int n_blocks,
                                      fx_k_mask mask)
{
    fx_map_thread_work at = fx_map_thread(n_blocks);

    if (at.row >= rows)
        return;
    unsigned kept = fx_mask_draw(mask.draw, at.lane, at.row, at.first);
    *fx_mask_at(mask, at.lane, at.row, at.first, n_blocks) = (uint8_t)kept;
    drop_block<T>(x, y, at, kept, mask.factor);
}

cudaError_t fx_k_drop_map(const struct fx_k_launch *l, const struct fx_k_map *x,
                          const struct fx_k_map *y, int rows, const struct fx_k_mask *mask)
{
    dim3 grid = fx_map_grid(rows, x->c, l->n_lanes);

    return mask->draw.p > 0
               ? FX_MAP_LAUNCH(l, drop_map_drawn, grid, *x, *y, rows, fx_map_blocks(x->c), *mask)
               : FX_MAP_LAUNCH(l, drop_map, grid, *x, *y, rows, fx_map_blocks(x->c), *mask);
}
