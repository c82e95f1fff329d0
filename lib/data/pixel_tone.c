/* Posterize, solarize, autocontrast, equalize: a table per channel (Pillow 9.4, ImageOps.py). */
#include "data/pixel_op.h"

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

void fx_pixel_posterize(uint8_t *image, int bits)
{
    const uint8_t mask = (uint8_t)(0xff << (8 - bits));

    for (int i = 0; i < FX_IMAGE_BYTES; i++)
        image[i] &= mask;
}

void fx_pixel_solarize(uint8_t *image, float threshold)
{
    for (int i = 0; i < FX_IMAGE_BYTES; i++)
        image[i] = (float)image[i] < threshold ? image[i] : (uint8_t)(255 - image[i]);
}

/* The darkest value becomes 0, the lightest 255, the others lie between; a flat channel stays. */
void fx_pixel_autocontrast(uint8_t *image)
{
    for (int c = 0; c < 3; c++, image += FX_IMAGE_PIXELS) {
        uint8_t table[256], low = 255, high = 0;
        for (int i = 0; i < FX_IMAGE_PIXELS; i++) {
            low = image[i] < low ? image[i] : low;
            high = image[i] > high ? image[i] : high;
        }
        if (high <= low)
            continue;
        double scale = 255.0 / (high - low), offset = -low * scale;
        for (int v = low; v <= high; v++) {
            double stretched = v * scale + offset;
            table[v] = stretched <= 0 ? 0 : stretched >= 255 ? 255 : (uint8_t)stretched;
        }
        look_up(image, table);
    }
}

/* Equal numbers of pixels per step of 255, the lightest value not counted. */
void fx_pixel_equalize(uint8_t *image)
{
    for (int c = 0; c < 3; c++, image += FX_IMAGE_PIXELS) {
        int histogram[256], last = 255;
        uint8_t table[256];
        count(image, histogram);
        while (histogram[last] == 0)
            last--;
        int step = (FX_IMAGE_PIXELS - histogram[last]) / 255;
        if (step == 0)
            continue;
        for (int v = 0, n = step / 2; v < 256; n += histogram[v++])
            table[v] = (uint8_t)(n / step < 255 ? n / step : 255);
        look_up(image, table);
    }
}
