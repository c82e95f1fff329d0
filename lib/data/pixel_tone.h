/* Point operations and blends on one channel value; shared by the host and the CUDA kernels
 * (Pillow 9.4: ImageOps.py, ImageEnhance.py, Blend.c, Convert.c, ImageFilter.py). */
#ifndef FX_DATA_PIXEL_TONE_H
#define FX_DATA_PIXEL_TONE_H

#include "base/host_device.h"
#include "data/dataset.h"

static inline FX_HD uint8_t fx_pixel_posterized(uint8_t value, int bits)
{
    return value & (uint8_t)(0xff << (8 - bits));
}

static inline FX_HD uint8_t fx_pixel_solarized(uint8_t value, float threshold)
{
    return (float)value < threshold ? value : (uint8_t)(255 - value);
}

/* Autocontrast: maps [low, high], the channel's range, linearly onto [0, 255]; a constant channel
 * is unchanged. */
static inline FX_HD uint8_t fx_pixel_stretched(uint8_t value, int low, int high)
{
    if (high <= low)
        return value;
    double scale = 255.0 / (high - low), offset = -low * scale;
    double stretched = value * scale + offset;
    return stretched <= 0 ? 0 : stretched >= 255 ? 255 : (uint8_t)stretched;
}

/* Equalize: the number of pixels per output level, those of the largest value not counted; 0: the
 * channel is unchanged. */
static inline FX_HD int fx_pixel_equal_step(int n_lightest)
{
    return (FX_IMAGE_PIXELS - n_lightest) / 255;
}

/* n_darker: the pixels of the channel with a smaller value. */
static inline FX_HD uint8_t fx_pixel_equalized(uint8_t value, int n_darker, int step)
{
    if (step == 0)
        return value;
    int level = (step / 2 + n_darker) / step;
    return (uint8_t)(level < 255 ? level : 255);
}

/* degenerate + factor * (value - degenerate) in float, clipped and truncated, as in Blend.c. */
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

/* The mean luma, rounded, from the sum over all pixels. */
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
