/* The map that the network reads: from augmented bytes, normalised, erased and mixed with the
 * numbers of fx_augment_batch, a thread for a pixel; or from f32 values as the host has them. */
#include "batch_row.h"

#include "data/augment.h"
#include "kernels.h"
#include "launch.cuh"
#include "map_block.cuh"

enum { THREADS = 256 }; /* divides the pixels of an image */

struct channel_norm {
    float mean[3], std[3];
};

static __device__ bool in_box(int i, int y0, int y1, int x0, int x1)
{
    int y = i / FX_IMAGE_SIDE, x = i % FX_IMAGE_SIDE;

    return y >= y0 && y < y1 && x >= x0 && x < x1;
}

/* Pixel i of the image at this position of the batch, before it is mixed. */
static __device__ fx_map_block unmixed(const fx_k_row *rows, const uint8_t *augmented,
                                       const channel_norm &norm, uint32_t position, int i)
{
    const fx_augment_row &row = rows[position].row;
    const uint8_t *pixel = augmented + (size_t)position * FX_IMAGE_BYTES + i;
    fx_map_block block = {};

    if (in_box(i, row.erase_y, row.erase_y + row.erase_h, row.erase_x, row.erase_x + row.erase_w))
        return block;
    for (int c = 0; c < 3; c++)
        block.c[c] = fx_input_normalized(pixel[c * FX_IMAGE_PIXELS], norm.mean[c], norm.std[c]);
    return block;
}

/* Whether pixel i of an image needs its partner's. */
static __device__ bool needs_partner(const fx_k_batch &batch, int i)
{
    return batch.mix.kind == FX_MIX_MIXUP ||
           (batch.mix.kind == FX_MIX_CUTMIX &&
            in_box(i, batch.mix.y0, batch.mix.y1, batch.mix.x0, batch.mix.x1));
}

/* In a box of cutmix the pixel is the partner's. */
static __device__ fx_map_block cutmix_or_mixup(const fx_k_batch &batch, const fx_map_block &own,
                                               const fx_map_block &partner)
{
    fx_map_block block = partner;

    if (batch.mix.kind == FX_MIX_MIXUP)
        for (int c = 0; c < 3; c++)
            block.c[c] = fx_input_mixup(batch.mix.lam, own.c[c], partner.c[c]);
    return block;
}

template <class T>
static __global__ void input(fx_k_batch_view view, const uint8_t *augmented, channel_norm norm,
                             fx_k_map y)
{
    const fx_k_batch &batch = *view.batch;
    const fx_k_row *rows = (const fx_k_row *)view.rows;
    const uint32_t r = blockIdx.x * THREADS + threadIdx.x, position = r / FX_IMAGE_PIXELS;
    const int i = (int)(r % FX_IMAGE_PIXELS);
    fx_map_block block = unmixed(rows, augmented, norm, position, i);

    /* One that is its own partner stays as it is: lam and 1 - lam of it are not quite all of it. */
    if (batch.has_partner && view.partner[position] != position && needs_partner(batch, i))
        block = cutmix_or_mixup(batch, block,
                                unmixed(rows, augmented, norm, view.partner[position], i));
    fx_map_store(fx_map_at<T>(y, blockIdx.z, r, 0), block);
}

cudaError_t fx_k_input(const struct fx_k_launch *l, const struct fx_k_batch_view *batch, int n,
                       const uint8_t *augmented, const float mean[3], const float std[3],
                       const struct fx_k_map *y)
{
    const dim3 grid(n * (FX_IMAGE_PIXELS / THREADS), 1, l->n_lanes);
    const channel_norm norm = { { mean[0], mean[1], mean[2] }, { std[0], std[1], std[2] } };

    return l->bf16
               ? FX_LAUNCH(input<__nv_bfloat16>, grid, THREADS, 0, l->stream, *batch, augmented,
                           norm, *y)
               : FX_LAUNCH(input<float>, grid, THREADS, 0, l->stream, *batch, augmented, norm, *y);
}

/* ---- between values as the host has them, f32 (n, c, h, w), and maps --------------------------
 */

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
