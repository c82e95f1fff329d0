/* What one value becomes by a change of tone; shared by the host and the CUDA kernels (Pillow 9.4,
 * ImageOps.py). */
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

/* Autocontrast: the channel's darkest value, low, becomes 0, its lightest, high, 255, the others
 * lie between; a flat channel stays. */
static inline FX_HD uint8_t fx_pixel_stretched(uint8_t value, int low, int high)
{
    if (high <= low)
        return value;
    double scale = 255.0 / (high - low), offset = -low * scale;
    double stretched = value * scale + offset;
    return stretched <= 0 ? 0 : stretched >= 255 ? 255 : (uint8_t)stretched;
}

/* Equalize: equal numbers of pixels per step of 255, the lightest value not counted; 0: the channel
 * has too few others, and stays. */
static inline FX_HD int fx_pixel_equal_step(int n_lightest)
{
    return (FX_IMAGE_PIXELS - n_lightest) / 255;
}

/* n_darker: pixels of the channel that are darker than this value. */
static inline FX_HD uint8_t fx_pixel_equalized(uint8_t value, int n_darker, int step)
{
    if (step == 0)
        return value;
    int level = (step / 2 + n_darker) / step;
    return (uint8_t)(level < 255 ? level : 255);
}

#endif
