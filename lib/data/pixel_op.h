/* The pixel operations by what they need to know: private to lib/data.
 *
 * All work in place on u8 (3, 32, 32) and give what Pillow 9.4 gives for a 32 x 32 RGB image, bit
 * for bit; tests/torch/augment_ops.py compares them. */
#ifndef FX_DATA_PIXEL_OP_H
#define FX_DATA_PIXEL_OP_H

#include "data/augment.h"

/* pixel_geometry.c: where a pixel comes from. */
void fx_pixel_shear(uint8_t *image, double tangent_x, double tangent_y);
void fx_pixel_translate(uint8_t *image, int right, int down);
void fx_pixel_rotate(uint8_t *image, double degrees);

/* pixel_blend.c: a mix of the image and a degenerate form of it. */
void fx_pixel_brightness(uint8_t *image, float factor);
void fx_pixel_color(uint8_t *image, float factor);
void fx_pixel_contrast(uint8_t *image, float factor);
void fx_pixel_sharpness(uint8_t *image, float factor);

/* pixel_tone.c: a table from value to value, per channel. */
void fx_pixel_posterize(uint8_t *image, int bits);
void fx_pixel_solarize(uint8_t *image, float threshold);
void fx_pixel_autocontrast(uint8_t *image);
void fx_pixel_equalize(uint8_t *image);

/* pixel_hue.c: by way of HSV. */
void fx_pixel_hue(uint8_t *image, float shift);

#endif
