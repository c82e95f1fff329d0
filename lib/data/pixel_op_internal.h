/* The pixel operations by what they need to know: private to lib/data.
 *
 * All but the crop work in place on u8 (3, 32, 32) and give what Pillow 9.4 gives for a 32 x 32 RGB
 * image, bit for bit; tests/torch/augment_ops.py compares them.  What becomes of one pixel stands
 * in a header beside each file, which the CUDA kernels include too. */
#ifndef FX_DATA_PIXEL_OP_INTERNAL_H
#define FX_DATA_PIXEL_OP_INTERNAL_H

#include "data/augment.h"

/* pixel_geometry.c: where a pixel comes from. */
struct fx_pixel_walk;
void fx_pixel_move(uint8_t *image, const struct fx_pixel_walk *walk);
/* Crop and flip of the row; `to` is written and must not overlap `from`. */
void fx_pixel_crop(const struct fx_augment_row *row, const uint8_t *from, uint8_t *to);

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
