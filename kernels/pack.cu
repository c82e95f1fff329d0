/* Between images or values as the host has them, f32 (n, c, h, w), and maps. */
#include "kernels.h"
#include "launch.cuh"
#include "map_block.cuh"

enum { THREADS = 256 };

/* The grid for blocks of channels (y) of all pixels (x) in each lane (z). */
static dim3 grid_of(int rows, int c, int n_lanes)
{
    return dim3((rows + THREADS - 1) / THREADS, (c + FX_K_BLOCK - 1) / FX_K_BLOCK, n_lanes);
}

/* Where channel c of pixel r lies in the lane's (n, c, h, w). */
static __device__ size_t host_place(int rows, int area, int n_c, int r, int c)
{
    return (size_t)blockIdx.z * rows * n_c + ((size_t)(r / area) * n_c + c) * area + r % area;
}

template <class T>
static __global__ void pack(const float *pixels, int rows, int area, int n_c, fx_k_map y)
{
    int r = blockIdx.x * THREADS + threadIdx.x, first = blockIdx.y * FX_K_BLOCK;
    fx_map_block block;

    if (r >= rows)
        return;
    for (int i = 0; i < FX_K_BLOCK; i++)
        block.c[i] = first + i < n_c ? pixels[host_place(rows, area, n_c, r, first + i)] : 0.0f;
    fx_map_store(fx_map_at<T>(y, blockIdx.z, r, first), block);
}

template <class T> static __global__ void unpack(fx_k_map map, int rows, int area, float *out)
{
    int r = blockIdx.x * THREADS + threadIdx.x, first = blockIdx.y * FX_K_BLOCK;

    if (r >= rows)
        return;
    fx_map_block block = fx_map_load(fx_map_at<T>(map, blockIdx.z, r, first));
    for (int i = 0; i < FX_K_BLOCK; i++)
        if (first + i < map.c)
            out[host_place(rows, area, map.c, r, first + i)] = block.c[i];
}

cudaError_t fx_k_pixels(const struct fx_k_launch *l, const float *pixels, int n, int c, int h,
                        int w, const struct fx_k_map *y)
{
    dim3 grid = grid_of(n * h * w, c, l->n_lanes);

    return l->bf16 ? FX_LAUNCH(pack<__nv_bfloat16>, grid, THREADS, 0, l->stream, pixels, n * h * w,
                               h * w, c, *y)
                   : FX_LAUNCH(pack<float>, grid, THREADS, 0, l->stream, pixels, n * h * w, h * w,
                               c, *y);
}

cudaError_t fx_k_unpack_map(const struct fx_k_launch *l, const struct fx_k_map *map, int n, int h,
                            int w, float *out)
{
    dim3 grid = grid_of(n * h * w, map->c, l->n_lanes);

    return l->bf16
               ? FX_LAUNCH(unpack<__nv_bfloat16>, grid, THREADS, 0, l->stream, *map, n * h * w,
                           h * w, out)
               : FX_LAUNCH(unpack<float>, grid, THREADS, 0, l->stream, *map, n * h * w, h * w, out);
}
