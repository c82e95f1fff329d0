/* Brightness, colour, contrast, sharpness: blends of an image and a degenerate form of it. */
#ifndef FX_KERNELS_PIXEL_BLEND_CUH
#define FX_KERNELS_PIXEL_BLEND_CUH

#include "data/pixel_blend.h"
#include "pixel_block.cuh"

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

#endif
