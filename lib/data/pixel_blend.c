/* Brightness, colour, contrast, sharpness: between a degenerate image (factor 0) and the image
 * (factor 1), or beyond (Pillow 9.4, ImageEnhance.py). */
#include "data/pixel_blend.h"

#include "data/pixel_op_internal.h"

static void blend_with_level(uint8_t *image, uint8_t level, float factor)
{
    uint8_t table[256];

    for (int v = 0; v < 256; v++)
        table[v] = fx_pixel_blended(level, (uint8_t)v, factor);
    for (int i = 0; i < FX_IMAGE_BYTES; i++)
        image[i] = table[image[i]];
}

static void blend_with_plane(const uint8_t *degenerate, uint8_t *plane, float factor)
{
    for (int i = 0; i < FX_IMAGE_PIXELS; i++)
        plane[i] = fx_pixel_blended(degenerate[i], plane[i], factor);
}

void fx_pixel_brightness(uint8_t *image, float factor)
{
    blend_with_level(image, 0, factor);
}

void fx_pixel_color(uint8_t *image, float factor)
{
    uint8_t luma[FX_IMAGE_PIXELS];

    for (int i = 0; i < FX_IMAGE_PIXELS; i++)
        luma[i] = fx_pixel_luma(image, i);
    for (int c = 0; c < 3; c++)
        blend_with_plane(luma, image + c * FX_IMAGE_PIXELS, factor);
}

void fx_pixel_contrast(uint8_t *image, float factor)
{
    int sum = 0;

    for (int i = 0; i < FX_IMAGE_PIXELS; i++)
        sum += fx_pixel_luma(image, i);
    blend_with_level(image, fx_pixel_mean_luma(sum), factor);
}

void fx_pixel_sharpness(uint8_t *image, float factor)
{
    uint8_t smoothed[FX_IMAGE_PIXELS];

    for (int c = 0; c < 3; c++, image += FX_IMAGE_PIXELS) {
        for (int i = 0; i < FX_IMAGE_PIXELS; i++)
            smoothed[i] = fx_pixel_smoothed(image, i);
        blend_with_plane(smoothed, image, factor);
    }
}
