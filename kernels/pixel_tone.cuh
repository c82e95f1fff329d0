/* Posterize, solarize; and by way of each channel's histogram autocontrast, equalize. */
#ifndef FX_KERNELS_PIXEL_TONE_CUH
#define FX_KERNELS_PIXEL_TONE_CUH

#include "data/pixel_tone.h"
#include "pixel_block.cuh"

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

#endif
