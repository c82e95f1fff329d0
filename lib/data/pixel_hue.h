/* Hue shift of one pixel: RGB to HSV in bytes, the hue shifted with wrap-around, and back; shared
 * by the host and the CUDA kernels.  Arithmetic in float and double as in torchvision 0.14,
 * adjust_hue, and Pillow 9.4, Convert.c, rgb2hsv_row and hsv2rgb. */
#ifndef FX_DATA_PIXEL_HUE_H
#define FX_DATA_PIXEL_HUE_H

#include "base/host_device.h"
#include "data/dataset.h"

#include <math.h>

struct fx_hsv {
    uint8_t h, s, v; /* s = 0: grey, which has no hue */
};

/* A hue byte as the sector of the colour circle, 0..5, and the position in it, 0..1. */
struct fx_hue {
    uint8_t sector;
    float position;
};

static inline FX_HD struct fx_hue fx_hue_of(int h)
{
    double at = (double)(float)h * 6.0 / 255.0;
    int sector = (int)floor(at);
    struct fx_hue hue = { (uint8_t)(sector % 6), (float)(at - (float)sector) };

    return hue;
}

/* What is added to a hue byte, modulo 256, for a shift in -0.5..0.5 of the circle. */
static inline FX_HD uint8_t fx_hue_turn(float shift)
{
    return (uint8_t)(int)((double)shift * 255.0);
}

static inline FX_HD uint8_t fx_pixel_max(uint8_t a, uint8_t b)
{
    return a > b ? a : b;
}

static inline FX_HD uint8_t fx_pixel_min(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

static inline FX_HD struct fx_hsv fx_hsv_of(uint8_t r, uint8_t g, uint8_t b)
{
    uint8_t high = fx_pixel_max(fx_pixel_max(r, g), b), low = fx_pixel_min(fx_pixel_min(r, g), b);
    struct fx_hsv hsv = { 0, 0, high };

    if (low == high)
        return hsv;
    float range = (float)(high - low), s = range / (float)high;
    float rc = (float)(high - r) / range, gc = (float)(high - g) / range;
    float bc = (float)(high - b) / range, h;
    if (r == high)
        h = bc - gc;
    else if (g == high)
        h = (float)(2.0 + (double)rc - (double)bc);
    else
        h = (float)(4.0 + (double)gc - (double)rc);
    double turns = (double)h / 6.0 + 1.0; /* 5/6 to 11/6: fmod(turns, 1) by subtraction */
    h = (float)(turns >= 1.0 ? turns - 1.0 : turns);
    hsv.h = (uint8_t)((double)h * 255.0);
    hsv.s = (uint8_t)((double)s * 255.0);
    return hsv;
}

static inline FX_HD uint8_t fx_hue_rounded(double value)
{
    return (uint8_t)(value + 0.5);
}

static inline FX_HD void fx_rgb_set(uint8_t rgb[3], uint8_t r, uint8_t g, uint8_t b)
{
    rgb[0] = r;
    rgb[1] = g;
    rgb[2] = b;
}

/* HSV to RGB; hue is fx_hue_of the hue byte to use, in place of the pixel's. */
static inline FX_HD void fx_rgb_of(struct fx_hsv pixel, struct fx_hue hue, uint8_t rgb[3])
{
    double s = (float)pixel.s / 255.0f, f = hue.position;
    uint8_t v = pixel.v, p = fx_hue_rounded(v * (1.0 - s));
    uint8_t q = fx_hue_rounded(v * (1.0 - s * f)), t = fx_hue_rounded(v * (1.0 - s * (1.0 - f)));

    switch (hue.sector) {
    case 0:
        return fx_rgb_set(rgb, v, t, p);
    case 1:
        return fx_rgb_set(rgb, q, v, p);
    case 2:
        return fx_rgb_set(rgb, p, v, t);
    case 3:
        return fx_rgb_set(rgb, p, q, v);
    case 4:
        return fx_rgb_set(rgb, t, p, v);
    default:
        return fx_rgb_set(rgb, v, p, q);
    }
}

/* Shifts the hue of pixel i of `from` and stores the pixel in `to`; both u8 (3, 32, 32), `to` may
 * be `from`.  hues[h] is fx_hue_of(h). */
static inline FX_HD void fx_pixel_turn_hue(const uint8_t *from, uint8_t *to, int i, uint8_t turn,
                                           const struct fx_hue hues[256])
{
    const uint8_t *r = from + i, *g = r + FX_IMAGE_PIXELS, *b = g + FX_IMAGE_PIXELS;
    struct fx_hsv pixel = fx_hsv_of(*r, *g, *b);
    uint8_t rgb[3] = { pixel.v, pixel.v, pixel.v };

    if (pixel.s != 0)
        fx_rgb_of(pixel, hues[(uint8_t)(pixel.h + turn)], rgb);
    for (int c = 0; c < 3; c++)
        to[c * FX_IMAGE_PIXELS + i] = rgb[c];
}

#endif
