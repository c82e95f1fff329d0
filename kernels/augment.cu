/* Crop, flip and pixel operations of a batch: a block for an image, which stays in shared memory
 * from the first operation to the last.
 *
 * Each operation is a function of the whole block from one image in shared memory to another, u8
 * (3, 32, 32); a barrier lies before it, none at its end.  The formulas are those of
 * lib/data/pixel_*.h. */
#include "batch_row.h"
#include "data/dataset.h"
#include "data/pixel_geometry.h"
#include "data/pixel_hue.h"
#include "data/pixel_tone.h"
#include "kernels.h"
#include "launch.cuh"

#include <cuda_runtime.h>

enum { FX_N_BYTES = 256, FX_PIXEL_THREADS = FX_N_BYTES }; /* a thread for each value of a byte */

/* ---- crop, flip, shear, translate, rotate: pixels are fetched from where they come from ---- */

/* `from` may be device memory. */
static __device__ void fx_pixels_crop(const fx_augment_row &row, const uint8_t *from, uint8_t *to)
{
    for (int i = threadIdx.x; i < FX_IMAGE_PIXELS; i += FX_PIXEL_THREADS) {
        int source = fx_pixel_crop_source(&row, i);

        for (int c = 0; c < 3; c++)
            to[c * FX_IMAGE_PIXELS + i] = from[c * FX_IMAGE_PIXELS + source];
    }
}

static __device__ void fx_pixels_move(const fx_pixel_walk &walk, const uint8_t *from, uint8_t *to)
{
    for (int i = threadIdx.x; i < FX_IMAGE_PIXELS; i += FX_PIXEL_THREADS) {
        int source = fx_pixel_walk_source(&walk, i);

        for (int c = 0; c < 3; c++)
            to[c * FX_IMAGE_PIXELS + i] = source >= 0 ? from[c * FX_IMAGE_PIXELS + source] : 0;
    }
}

/* ---- brightness, colour, contrast, sharpness: blends with a degenerate form of the image ---- */

static __device__ void fx_pixels_brightness(float factor, const uint8_t *from, uint8_t *to)
{
    for (int i = threadIdx.x; i < FX_IMAGE_BYTES; i += FX_PIXEL_THREADS)
        to[i] = fx_pixel_blended(0, from[i], factor);
}

static __device__ void fx_pixels_color(float factor, const uint8_t *from, uint8_t *to)
{
    for (int i = threadIdx.x; i < FX_IMAGE_PIXELS; i += FX_PIXEL_THREADS) {
        uint8_t luma = fx_pixel_luma(from, i);

        for (int at = i; at < FX_IMAGE_BYTES; at += FX_IMAGE_PIXELS)
            to[at] = fx_pixel_blended(luma, from[at], factor);
    }
}

static __device__ void fx_pixels_contrast(float factor, const uint8_t *from, uint8_t *to)
{
    __shared__ int total;
    int sum = 0;

    if (threadIdx.x == 0)
        total = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < FX_IMAGE_PIXELS; i += FX_PIXEL_THREADS)
        sum += fx_pixel_luma(from, i);
    atomicAdd(&total, sum);
    __syncthreads();
    for (int i = threadIdx.x; i < FX_IMAGE_BYTES; i += FX_PIXEL_THREADS)
        to[i] = fx_pixel_blended(fx_pixel_mean_luma(total), from[i], factor);
}

static __device__ void fx_pixels_sharpness(float factor, const uint8_t *from, uint8_t *to)
{
    for (int i = threadIdx.x; i < FX_IMAGE_PIXELS; i += FX_PIXEL_THREADS) {
        for (int plane = 0; plane < FX_IMAGE_BYTES; plane += FX_IMAGE_PIXELS)
            to[plane + i] =
                fx_pixel_blended(fx_pixel_smoothed(from + plane, i), from[plane + i], factor);
    }
}

/* ---- posterize, solarize; and by way of each channel's histogram autocontrast, equalize ---- */

static __device__ void fx_pixels_posterize(int bits, const uint8_t *from, uint8_t *to)
{
    for (int i = threadIdx.x; i < FX_IMAGE_BYTES; i += FX_PIXEL_THREADS)
        to[i] = fx_pixel_posterized(from[i], bits);
}

static __device__ void fx_pixels_solarize(float threshold, const uint8_t *from, uint8_t *to)
{
    for (int i = threadIdx.x; i < FX_IMAGE_BYTES; i += FX_PIXEL_THREADS)
        to[i] = fx_pixel_solarized(from[i], threshold);
}

/* Of each channel. */
struct fx_tones {
    int at_least[3][FX_N_BYTES + 1]; /* pixels of this value or lighter */
    int darkest[3], lightest[3];
};

/* at_least, without a barrier at its end: a histogram, added up from the light end by sums over
 * twice the reach in each round. */
static __device__ void fx_tones_count(const uint8_t *image, fx_tones *tones)
{
    const int v = (int)threadIdx.x;

    for (int c = 0; c < 3; c++) {
        tones->at_least[c][v] = 0;
        if (v == 0)
            tones->at_least[c][FX_N_BYTES] = 0;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < FX_IMAGE_BYTES; i += FX_PIXEL_THREADS)
        atomicAdd(&tones->at_least[i / FX_IMAGE_PIXELS][image[i]], 1);
    for (int reach = 1; reach < FX_N_BYTES; reach *= 2) {
        int lighter[3];
        __syncthreads();
        for (int c = 0; c < 3; c++)
            lighter[c] = v + reach < FX_N_BYTES ? tones->at_least[c][v + reach] : 0;
        __syncthreads();
        for (int c = 0; c < 3; c++)
            tones->at_least[c][v] += lighter[c];
    }
}

static __device__ void fx_tones_of(const uint8_t *image, fx_tones *tones)
{
    const int v = (int)threadIdx.x;

    fx_tones_count(image, tones);
    __syncthreads();
    for (int c = 0; c < 3; c++) {
        int here = tones->at_least[c][v], lighter = tones->at_least[c][v + 1];
        if (here == FX_IMAGE_PIXELS && lighter < FX_IMAGE_PIXELS)
            tones->darkest[c] = v;
        if (here > 0 && lighter == 0)
            tones->lightest[c] = v;
    }
    __syncthreads();
}

static __device__ uint8_t fx_tones_equalized(const fx_tones &tones, int c, int v)
{
    int step = fx_pixel_equal_step(tones.at_least[c][tones.lightest[c]]);

    return fx_pixel_equalized((uint8_t)v, FX_IMAGE_PIXELS - tones.at_least[c][v], step);
}

/* Autocontrast or equalize. */
static __device__ void fx_pixels_retone(bool equalize, const uint8_t *from, uint8_t *to)
{
    __shared__ fx_tones tones;
    __shared__ uint8_t table[3][FX_N_BYTES];
    const int v = (int)threadIdx.x;

    fx_tones_of(from, &tones);
    for (int c = 0; c < 3; c++)
        table[c][v] = equalize
                          ? fx_tones_equalized(tones, c, v)
                          : fx_pixel_stretched((uint8_t)v, tones.darkest[c], tones.lightest[c]);
    __syncthreads();
    for (int i = threadIdx.x; i < FX_IMAGE_BYTES; i += FX_PIXEL_THREADS)
        to[i] = table[i / FX_IMAGE_PIXELS][from[i]];
}

/* ---- hue, by way of HSV ---- */

static __device__ void fx_pixels_hue(float shift, const uint8_t *from, uint8_t *to)
{
    __shared__ fx_hue hues[FX_N_BYTES];

    hues[threadIdx.x] = fx_hue_of((int)threadIdx.x);
    __syncthreads();
    for (int i = threadIdx.x; i < FX_IMAGE_PIXELS; i += FX_PIXEL_THREADS)
        fx_pixel_turn_hue(from, to, i, fx_hue_turn(shift), hues);
}

/* ---- a row ------------------------------------------------------------------------------------
 */

/* As fx_pixel_op, from one image to another. */
static __device__ void apply(const fx_op &op, const fx_pixel_walk &walk, const uint8_t *from,
                             uint8_t *to)
{
    switch (op.kind) {
    case FX_OP_SHEAR_X:
    case FX_OP_SHEAR_Y:
    case FX_OP_TRANSLATE_X:
    case FX_OP_TRANSLATE_Y:
    case FX_OP_ROTATE:
        return fx_pixels_move(walk, from, to);
    case FX_OP_BRIGHTNESS:
        return fx_pixels_brightness(op.magnitude, from, to);
    case FX_OP_COLOR:
        return fx_pixels_color(op.magnitude, from, to);
    case FX_OP_CONTRAST:
        return fx_pixels_contrast(op.magnitude, from, to);
    case FX_OP_SHARPNESS:
        return fx_pixels_sharpness(op.magnitude, from, to);
    case FX_OP_POSTERIZE:
        return fx_pixels_posterize((int)op.magnitude, from, to);
    case FX_OP_SOLARIZE:
        return fx_pixels_solarize(op.magnitude, from, to);
    case FX_OP_AUTOCONTRAST:
    case FX_OP_EQUALIZE:
        return fx_pixels_retone(op.kind == FX_OP_EQUALIZE, from, to);
    case FX_OP_HUE:
        return fx_pixels_hue(op.magnitude, from, to);
    default: /* identity */
        for (int i = threadIdx.x; i < FX_IMAGE_BYTES; i += FX_PIXEL_THREADS)
            to[i] = from[i];
    }
}

static __global__ void __launch_bounds__(FX_PIXEL_THREADS)
    augment(const fx_k_row *rows, const uint8_t *images, uint8_t *out)
{
    __shared__ uint8_t image[2][FX_IMAGE_BYTES]; /* an operation's source and its result, in turn */
    const fx_k_row &row = rows[blockIdx.x];
    int n = 0;

    fx_pixels_crop(row.row, images + (size_t)row.row.image * FX_IMAGE_BYTES, image[0]);
    for (; n < row.row.n_ops; n++) {
        __syncthreads();
        apply(row.row.ops[n], row.walks[n], image[n % 2], image[(n + 1) % 2]);
    }
    /* Bytes that the thread wrote itself. */
    for (int i = threadIdx.x; i < FX_IMAGE_BYTES; i += FX_PIXEL_THREADS)
        out[(size_t)blockIdx.x * FX_IMAGE_BYTES + i] = image[n % 2][i];
}

cudaError_t fx_k_augment(cudaStream_t stream, const struct fx_k_batch_view *batch, int n,
                         const uint8_t *images, uint8_t *out)
{
    return FX_LAUNCH(augment, n, FX_PIXEL_THREADS, 0, stream, (const fx_k_row *)batch->rows, images,
                     out);
}
