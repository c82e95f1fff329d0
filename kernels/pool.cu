/* 2x2 and global average pools of maps. */
#include "launch.cuh"
#include "map_block.cuh"

static __device__ __forceinline__ void add_block(fx_map_block &sum, const fx_map_block &v)
{
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++)
        sum.c[i] += v.c[i];
}

/* ---- 2x2 ------------------------------------------------------------------------------------- */

struct pool_shape {
    int h, w;         /* of the large map */
    int h_out, w_out; /* of the small one */
};

static pool_shape pool_of(int h, int w)
{
    return { h, w, h / 2, w / 2 };
}

/* A thread for a block of the small map, which is exact even where the large one is a prefix. */
template <class T>
static __global__ void avgpool(fx_k_map x, fx_k_map y, int rows, int n_blocks, pool_shape s)
{
    fx_map_thread_work at = fx_map_thread(n_blocks);

    if (at.row >= rows)
        return;
    int area = s.h_out * s.w_out, pixel = at.row % area;
    int corner = (at.row / area * s.h + 2 * (pixel / s.w_out)) * s.w + 2 * (pixel % s.w_out);
    int rows4[4] = { corner, corner + 1, corner + s.w, corner + s.w + 1 };
    fx_map_block sum = {};
#pragma unroll
    for (int j = 0; j < 4; j++)
        add_block(sum, fx_map_load(fx_map_at<T>(x, at.lane, (size_t)rows4[j], at.first)));
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++)
        sum.c[i] = at.first + i < x.c ? sum.c[i] * 0.25f : 0.0f;
    fx_map_store(fx_map_at<T>(y, at), sum);
}

cudaError_t fx_k_avgpool(const struct fx_k_launch *l, const struct fx_k_map *x,
                         const struct fx_k_map *y, int n, int h, int w)
{
    pool_shape s = pool_of(h, w);
    int rows = n * s.h_out * s.w_out;

    return FX_MAP_LAUNCH(l, avgpool, fx_map_grid(rows, x->c, l->n_lanes), *x, *y, rows,
                         fx_map_blocks(x->c), s);
}

/* A thread for a block of the large map. */
template <class T>
static __global__ void avgpool_back(fx_k_map dy, fx_k_map dx, int rows, int n_blocks, pool_shape s)
{
    fx_map_thread_work at = fx_map_thread(n_blocks);

    if (at.row >= rows)
        return;
    int area = s.h * s.w, pixel = at.row % area;
    int i_out = pixel / s.w / 2, j_out = pixel % s.w / 2;
    fx_map_block g = {};
    if (i_out < s.h_out && j_out < s.w_out) {
        int row = (at.row / area * s.h_out + i_out) * s.w_out + j_out;

        g = fx_map_load(fx_map_at<T>(dy, at.lane, (size_t)row, at.first));
#pragma unroll
        for (int i = 0; i < FX_K_BLOCK; i++)
            g.c[i] *= 0.25f;
    }
    fx_map_store(fx_map_at<T>(dx, at), g);
}

cudaError_t fx_k_avgpool_back(const struct fx_k_launch *l, const struct fx_k_map *dy,
                              const struct fx_k_map *dx, int n, int h, int w)
{
    int rows = n * h * w;

    return FX_MAP_LAUNCH(l, avgpool_back, fx_map_grid(rows, dx->c, l->n_lanes), *dy, *dx, rows,
                         fx_map_blocks(dx->c), pool_of(h, w));
}

/* ---- global ---------------------------------------------------------------------------------- */

enum {
    POOL_TILE = 8,    /* blocks of channels that a CUDA block does */
    POOL_SLICES = 16, /* threads that share the pixels of each */
    POOL_CHANNELS = POOL_TILE * FX_K_BLOCK
};

/* The sum over every POOL_SLICES-th pixel of an image, from `slice` on. */
template <class T>
static __device__ __forceinline__ fx_map_block slice_sum(const fx_k_map &x, int image, int first,
                                                         int area, int slice)
{
    fx_map_block sum = {};

#pragma unroll 4
    for (int p = slice; p < area; p += POOL_SLICES) {
        size_t row = (size_t)image * (size_t)area + (size_t)p;
        add_block(sum, fx_map_load(fx_map_at<T>(x, blockIdx.z, row, first)));
    }
    return sum;
}

/* A CUDA block for the y-th POOL_CHANNELS of the x-th image: sums of slices, then of the slices in
 * their order. */
template <class T> static __global__ void globalpool(fx_k_map x, int area, fx_k_array y)
{
    __shared__ float sums[POOL_SLICES][POOL_CHANNELS];
    int image = (int)blockIdx.x, begin = (int)blockIdx.y * POOL_CHANNELS;
    int at = (int)threadIdx.x % POOL_TILE * FX_K_BLOCK, slice = (int)threadIdx.x / POOL_TILE;

    if (begin + at < x.c) {
        fx_map_block sum = slice_sum<T>(x, image, begin + at, area, slice);
#pragma unroll
        for (int i = 0; i < FX_K_BLOCK; i++)
            sums[slice][at + i] = sum.c[i];
    }
    __syncthreads();
    int c = begin + (int)threadIdx.x;
    if (threadIdx.x >= POOL_CHANNELS || c >= x.c)
        return;
    float sum = 0;
#pragma unroll
    for (int s = 0; s < POOL_SLICES; s++)
        sum += sums[s][threadIdx.x];
    y.data[blockIdx.z * y.lane + (size_t)image * (size_t)x.c + (size_t)c] = sum / (float)area;
}

cudaError_t fx_k_globalpool(const struct fx_k_launch *l, const struct fx_k_map *x, int n, int area,
                            struct fx_k_array y)
{
    dim3 grid((unsigned)n, (unsigned)((x->c + POOL_CHANNELS - 1) / POOL_CHANNELS),
              (unsigned)l->n_lanes);
    int n_threads = POOL_TILE * POOL_SLICES;

    if (l->bf16)
        return FX_LAUNCH(globalpool<__nv_bfloat16>, grid, n_threads, 0, l->stream, *x, area, y);
    return FX_LAUNCH(globalpool<float>, grid, n_threads, 0, l->stream, *x, area, y);
}

template <class T>
static __global__ void globalpool_back(fx_k_array dy, int rows, int n_blocks, int area, fx_k_map dx)
{
    fx_map_thread_work at = fx_map_thread(n_blocks);

    if (at.row >= rows)
        return;
    const float *from = dy.data + at.lane * dy.lane + (size_t)(at.row / area) * (size_t)dx.c;
    fx_map_block g = {};
    for (int i = 0; i < FX_K_BLOCK && at.first + i < dx.c; i++)
        g.c[i] = from[at.first + i] / (float)area;
    fx_map_store(fx_map_at<T>(dx, at), g);
}

cudaError_t fx_k_globalpool_back(const struct fx_k_launch *l, struct fx_k_array dy, int n, int area,
                                 const struct fx_k_map *dx)
{
    return FX_MAP_LAUNCH(l, globalpool_back, fx_map_grid(n * area, dx->c, l->n_lanes), dy, n * area,
                         fx_map_blocks(dx->c), area, *dx);
}
