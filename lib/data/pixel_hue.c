/* Hue, by way of HSV. */
#include "data/pixel_hue.h"

#include "data/pixel_op_internal.h"

void fx_pixel_hue(uint8_t *image, float shift)
{
    struct fx_hue hues[256];
    uint8_t turn = fx_hue_turn(shift);

    for (int h = 0; h < 256; h++)
        hues[h] = fx_hue_of(h);
    for (int i = 0; i < FX_IMAGE_PIXELS; i++)
        fx_pixel_turn_hue(image, image, i, turn, hues);
}
