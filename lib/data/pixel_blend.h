/* What one value becomes in a blend; shared by the host and the CUDA kernels (Pillow 9.4: Blend.c,
 * Convert.c, ImageFilter.py). */
#ifndef FX_DATA_PIXEL_BLEND_H
#define FX_DATA_PIXEL_BLEND_H

#include "base/host_device.h"
#include "data/dataset.h"

/* Blend.c computes in float and cuts the fraction off. */
static inline FX_HD uint8_t fx_pixel_blended(uint8_t degenerate, uint8_t value, float factor)
{
    float mixed = (float)degenerate + factor * (float)((int)value - (int)degenerate);

    return mixed <= 0.0f ? 0 : mixed >= 255.0f ? 255 : (uint8_t)mixed;
}

/* Pixel i in grey: ITU-R 601 luma in 16.16 fixed point (Convert.c, L24). */
static inline FX_HD uint8_t fx_pixel_luma(const uint8_t *image, int i)
{
    int r = image[i], g = image[FX_IMAGE_PIXELS + i], b = image[2 * FX_IMAGE_PIXELS + i];

    return (uint8_t)((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16);
}

/* The mean grey, from the sum over all pixels. */
static inline FX_HD uint8_t fx_pixel_mean_luma(int sum)
{
    return (uint8_t)((sum + FX_IMAGE_PIXELS / 2) / FX_IMAGE_PIXELS);
}

/* Pixel i of a plane under ImageFilter.SMOOTH: 1 1 1, 1 5 1, 1 1 1 over 13; the border stays.
 * Thirteenths never fall on a half, so whole numbers round as Pillow's floats do. */
static inline FX_HD uint8_t fx_pixel_smoothed(const uint8_t *plane, int i)
{
    const int side = FX_IMAGE_SIDE, y = i / side, x = i % side;
    const uint8_t *at = plane + i;

    if (y == 0 || y == side - 1 || x == 0 || x == side - 1)
        return at[0];
    int sum = at[-side - 1] + at[-side] + at[-side + 1] + at[-1] + 5 * at[0] + at[1] +
              at[side - 1] + at[side] + at[side + 1];
    return (uint8_t)((2 * sum + 13) / 26);
}

#endif
