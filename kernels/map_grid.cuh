/* One thread for each pixel and block of eight channels of a map, channels fastest, so that a
 * warp's accesses lie side by side; grid.z is the lane. */
#ifndef FX_KERNELS_MAP_GRID_CUH
#define FX_KERNELS_MAP_GRID_CUH

#include "map_block.cuh"

enum { FX_MAP_THREADS = 256 };

static inline int fx_map_blocks(int c)
{
    return (c + FX_K_BLOCK - 1) / FX_K_BLOCK;
}

static inline dim3 fx_map_grid(int rows, int c, int n_lanes)
{
    unsigned threads = (unsigned)rows * (unsigned)fx_map_blocks(c);

    return dim3((threads + FX_MAP_THREADS - 1) / FX_MAP_THREADS, 1, (unsigned)n_lanes);
}

/* What the thread is for; row >= rows: nothing. */
struct fx_map_thread_work {
    int row, first; /* pixel; first channel */
    unsigned lane;
};

static __device__ __forceinline__ fx_map_thread_work fx_map_thread(int n_blocks)
{
    unsigned i = blockIdx.x * FX_MAP_THREADS + threadIdx.x, n = (unsigned)n_blocks;

    return { (int)(i / n), (int)(i % n) * FX_K_BLOCK, blockIdx.z };
}

template <class T>
static __device__ __forceinline__ T *fx_map_at(const fx_k_map &map, const fx_map_thread_work &work)
{
    return fx_map_at<T>(map, work.lane, (size_t)work.row, work.first);
}

/* FX_LAUNCH of kernel<T, ...> for the type of maps; the argument list is the kernel's. */
#define FX_MAP_LAUNCH(l, kernel, grid, ...)                                                        \
    ((l)->bf16                                                                                     \
         ? FX_LAUNCH(kernel<__nv_bfloat16>, grid, FX_MAP_THREADS, 0, (l)->stream, __VA_ARGS__)     \
         : FX_LAUNCH(kernel<float>, grid, FX_MAP_THREADS, 0, (l)->stream, __VA_ARGS__))

#endif
