/* Brightness, colour, contrast, sharpness: between a degenerate image (factor 0) and the image
 * (factor 1), or beyond (Pillow 9.4, ImageEnhance.py and Blend.c). */
#include "data/pixel_op.h"

#include <string.h>

enum { SIDE = FX_IMAGE_SIDE };

/* Blend.c computes in float and cuts the fraction off. */
static uint8_t blend(uint8_t degenerate, uint8_t value, float factor)
{
    float mixed = (float)degenerate + factor * (float)((int)value - (int)degenerate);

    return mixed <= 0.0f ? 0 : mixed >= 255.0f ? 255 : (uint8_t)mixed;
}

static void blend_with_level(uint8_t *image, uint8_t level, float factor)
{
    uint8_t table[256];

    for (int v = 0; v < 256; v++)
        table[v] = blend(level, (uint8_t)v, factor);
    for (int i = 0; i < FX_IMAGE_BYTES; i++)
        image[i] = table[image[i]];
}

static void blend_with_plane(const uint8_t *degenerate, uint8_t *plane, float factor)
{
    for (int i = 0; i < FX_IMAGE_PIXELS; i++)
        plane[i] = blend(degenerate[i], plane[i], factor);
}

/* ITU-R 601 luma in 16.16 fixed point (Convert.c, L24). */
static void grey(const uint8_t *image, uint8_t *plane)
{
    const uint8_t *r = image, *g = r + FX_IMAGE_PIXELS, *b = g + FX_IMAGE_PIXELS;

    for (int i = 0; i < FX_IMAGE_PIXELS; i++)
        plane[i] = (uint8_t)((r[i] * 19595 + g[i] * 38470 + b[i] * 7471 + 0x8000) >> 16);
}

void fx_pixel_brightness(uint8_t *image, float factor)
{
    blend_with_level(image, 0, factor);
}

void fx_pixel_color(uint8_t *image, float factor)
{
    uint8_t luma[FX_IMAGE_PIXELS];

    grey(image, luma);
    for (int c = 0; c < 3; c++)
        blend_with_plane(luma, image + c * FX_IMAGE_PIXELS, factor);
}

void fx_pixel_contrast(uint8_t *image, float factor)
{
    uint8_t luma[FX_IMAGE_PIXELS];
    int sum = 0;

    grey(image, luma);
    for (int i = 0; i < FX_IMAGE_PIXELS; i++)
        sum += luma[i];
    blend_with_level(image, (uint8_t)((sum + FX_IMAGE_PIXELS / 2) / FX_IMAGE_PIXELS), factor);
}

/* ImageFilter.SMOOTH: 1 1 1, 1 5 1, 1 1 1 over 13; the border stays.  Thirteenths never fall on a
 * half, so whole numbers round as Pillow's floats do. */
static void smooth(const uint8_t *plane, uint8_t *smoothed)
{
    memcpy(smoothed, plane, FX_IMAGE_PIXELS);
    for (int y = 1; y < SIDE - 1; y++)
        for (int x = 1; x < SIDE - 1; x++) {
            const uint8_t *at = plane + y * SIDE + x;
            int sum = at[-SIDE - 1] + at[-SIDE] + at[-SIDE + 1] + at[-1] + 5 * at[0] + at[1] +
                      at[SIDE - 1] + at[SIDE] + at[SIDE + 1];
            smoothed[y * SIDE + x] = (uint8_t)((2 * sum + 13) / 26);
        }
}

void fx_pixel_sharpness(uint8_t *image, float factor)
{
    uint8_t smoothed[FX_IMAGE_PIXELS];

    for (int c = 0; c < 3; c++, image += FX_IMAGE_PIXELS) {
        smooth(image, smoothed);
        blend_with_plane(smoothed, image, factor);
    }
}
