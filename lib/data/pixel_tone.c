/* Posterize, solarize, autocontrast, equalize: a table from value to value, for the image or for
 * each channel. */
#include "data/pixel_tone.h"

#include "data/pixel_op_internal.h"

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
    for (int i = 0; i < FX_IMAGE_BYTES; i++)
        image[i] = fx_pixel_posterized(image[i], bits);
}

void fx_pixel_solarize(uint8_t *image, float threshold)
{
    for (int i = 0; i < FX_IMAGE_BYTES; i++)
        image[i] = fx_pixel_solarized(image[i], threshold);
}

void fx_pixel_autocontrast(uint8_t *image)
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

void fx_pixel_equalize(uint8_t *image)
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
