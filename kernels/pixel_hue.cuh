/* Hue, by way of HSV. */
#ifndef FX_KERNELS_PIXEL_HUE_CUH
#define FX_KERNELS_PIXEL_HUE_CUH

#include "data/pixel_hue.h"
#include "pixel_block.cuh"

static __device__ void fx_pixels_hue(float shift, const uint8_t *from, uint8_t *to)
{
    __shared__ fx_hue hues[FX_N_BYTES];

    hues[threadIdx.x] = fx_hue_of((int)threadIdx.x);
    __syncthreads();
    for (int i = threadIdx.x; i < FX_IMAGE_PIXELS; i += FX_PIXEL_THREADS)
        fx_pixel_turn_hue(from, to, i, fx_hue_turn(shift), hues);
}

#endif
