/* The pixel operations by what they need to know: private to lib/data.
 *
 * All but the crop work in place on u8 (3, 32, 32) and give what Pillow 9.4 gives for a 32 x 32 RGB
 * image, bit for bit; tests/torch/augment_ops.py compares them.  What becomes of one pixel stands
 * in data/pixel_geometry.h, pixel_tone.h and pixel_hue.h, which the CUDA kernels include too. */
#ifndef FX_DATA_PIXEL_OP_INTERNAL_H
#define FX_DATA_PIXEL_OP_INTERNAL_H

#include "data/augment.h"

/* pixel_geometry.c: where a pixel comes from. */
struct fx_pixel_walk;
void fx_pixel_move(uint8_t *image, const struct fx_pixel_walk *walk);
/* Crop and flip of the row; `to` is written and must not overlap `from`. */
void fx_pixel_crop(const struct fx_augment_row *row, const uint8_t *from, uint8_t *to);

#endif
