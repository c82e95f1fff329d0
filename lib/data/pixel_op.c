/* The pixel operations of an image on the host; those that move pixels are in pixel_geometry.c. */
#include "data/pixel_op_internal.h"

#include "data/pixel_geometry.h"
#include "data/pixel_hue.h"
#include "data/pixel_tone.h"

#include <stddef.h>

/* ---- brightness, colour, contrast, sharpness --------------------------------------------------
 */

/* Between a degenerate image (factor 0) and the image (factor 1), or beyond (Pillow 9.4,
 * ImageEnhance.py). */

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

static void brightness(uint8_t *image, float factor)
{
    blend_with_level(image, 0, factor);
}

static void color(uint8_t *image, float factor)
{
    uint8_t luma[FX_IMAGE_PIXELS];

    for (int i = 0; i < FX_IMAGE_PIXELS; i++)
        luma[i] = fx_pixel_luma(image, i);
    for (int c = 0; c < 3; c++)
        blend_with_plane(luma, image + c * FX_IMAGE_PIXELS, factor);
}

static void contrast(uint8_t *image, float factor)
{
    int sum = 0;

    for (int i = 0; i < FX_IMAGE_PIXELS; i++)
        sum += fx_pixel_luma(image, i);
    blend_with_level(image, fx_pixel_mean_luma(sum), factor);
}

static void sharpness(uint8_t *image, float factor)
{
    uint8_t smoothed[FX_IMAGE_PIXELS];

    for (int c = 0; c < 3; c++, image += FX_IMAGE_PIXELS) {
        for (int i = 0; i < FX_IMAGE_PIXELS; i++)
            smoothed[i] = fx_pixel_smoothed(image, i);
        blend_with_plane(smoothed, image, factor);
    }
}

/* ---- posterize, solarize, autocontrast, equalize ----------------------------------------------
 */

/* A table from value to value, for the image or for each channel. */

static void look_up(uint8_t *plane, const uint8_t table[256])
{
    for (int i = 0; i < FX_IMAGE_PIXELS; i++)
        plane[i] = table[plane[i]];
}

static void count(const uint8_t *plane, int histogram[256])
{
    for (int v = 0; v < 256; v++)
        histogram[v] = 0;
    for (int i = 0; i < FX_IMAGE_PIXELS; i++)
        histogram[plane[i]]++;
}

static void posterize(uint8_t *image, int bits)
{
    for (int i = 0; i < FX_IMAGE_BYTES; i++)
        image[i] = fx_pixel_posterized(image[i], bits);
}

static void solarize(uint8_t *image, float threshold)
{
    for (int i = 0; i < FX_IMAGE_BYTES; i++)
        image[i] = fx_pixel_solarized(image[i], threshold);
}

static void autocontrast(uint8_t *image)
{
    for (int c = 0; c < 3; c++, image += FX_IMAGE_PIXELS) {
        uint8_t table[256], low = 255, high = 0;
        for (int i = 0; i < FX_IMAGE_PIXELS; i++) {
            low = image[i] < low ? image[i] : low;
            high = image[i] > high ? image[i] : high;
        }
        for (int v = 0; v < 256; v++)
            table[v] = fx_pixel_stretched((uint8_t)v, low, high);
        look_up(image, table);
    }
}

static void equalize(uint8_t *image)
{
    for (int c = 0; c < 3; c++, image += FX_IMAGE_PIXELS) {
        int histogram[256], lightest = 255;
        uint8_t table[256];
        count(image, histogram);
        while (histogram[lightest] == 0)
            lightest--;
        int step = fx_pixel_equal_step(histogram[lightest]);
        for (int v = 0, n_darker = 0; v < 256; n_darker += histogram[v++])
            table[v] = fx_pixel_equalized((uint8_t)v, n_darker, step);
        look_up(image, table);
    }
}

/* ---- hue, by way of HSV -----------------------------------------------------------------------
 */

static void hue(uint8_t *image, float shift)
{
    struct fx_hue hues[256];
    uint8_t turn = fx_hue_turn(shift);

    for (int h = 0; h < 256; h++)
        hues[h] = fx_hue_of(h);
    for (int i = 0; i < FX_IMAGE_PIXELS; i++)
        fx_pixel_turn_hue(image, image, i, turn, hues);
}

/* ---- by kind ----------------------------------------------------------------------------------
 */

static const char *const names[FX_N_OPS] = {
    [FX_OP_IDENTITY] = "Identity",
    [FX_OP_SHEAR_X] = "ShearX",
    [FX_OP_SHEAR_Y] = "ShearY",
    [FX_OP_TRANSLATE_X] = "TranslateX",
    [FX_OP_TRANSLATE_Y] = "TranslateY",
    [FX_OP_ROTATE] = "Rotate",
    [FX_OP_BRIGHTNESS] = "Brightness",
    [FX_OP_COLOR] = "Color",
    [FX_OP_CONTRAST] = "Contrast",
    [FX_OP_SHARPNESS] = "Sharpness",
    [FX_OP_POSTERIZE] = "Posterize",
    [FX_OP_SOLARIZE] = "Solarize",
    [FX_OP_AUTOCONTRAST] = "AutoContrast",
    [FX_OP_EQUALIZE] = "Equalize",
    [FX_OP_HUE] = "Hue",
};

const char *fx_op_name(enum fx_op_kind kind)
{
    return kind < FX_N_OPS ? names[kind] : NULL;
}

void fx_pixel_op(const struct fx_op *op, uint8_t *image)
{
    struct fx_pixel_walk walk;
    float magnitude = op->magnitude;

    switch ((enum fx_op_kind)op->kind) {
    case FX_OP_SHEAR_X:
    case FX_OP_SHEAR_Y:
    case FX_OP_TRANSLATE_X:
    case FX_OP_TRANSLATE_Y:
    case FX_OP_ROTATE:
        fx_pixel_walk_of(op, &walk);
        fx_pixel_move(image, &walk);
        break;
    case FX_OP_BRIGHTNESS:
        brightness(image, magnitude);
        break;
    case FX_OP_COLOR:
        color(image, magnitude);
        break;
    case FX_OP_CONTRAST:
        contrast(image, magnitude);
        break;
    case FX_OP_SHARPNESS:
        sharpness(image, magnitude);
        break;
    case FX_OP_POSTERIZE:
        posterize(image, (int)magnitude);
        break;
    case FX_OP_SOLARIZE:
        solarize(image, magnitude);
        break;
    case FX_OP_AUTOCONTRAST:
        autocontrast(image);
        break;
    case FX_OP_EQUALIZE:
        equalize(image);
        break;
    case FX_OP_HUE:
        hue(image, magnitude);
        break;
    case FX_OP_IDENTITY:
    case FX_N_OPS:
        break;
    }
}
