/* Crop, flip, shear, translate, rotate: pixels are fetched from where they come from. */
#ifndef FX_KERNELS_PIXEL_GEOMETRY_CUH
#define FX_KERNELS_PIXEL_GEOMETRY_CUH

#include "data/pixel_geometry.h"
#include "pixel_block.cuh"

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

#endif
