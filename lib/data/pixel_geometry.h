/* Source coordinates of crops and affine operations; shared by the host and the CUDA kernels.
 *
 * Sines and tangents round differently from one C library to the next, so the host computes the
 * coefficients of an operation in fixed point; the pixel loops then use integers only, with equal
 * results everywhere. */
#ifndef FX_DATA_PIXEL_GEOMETRY_H
#define FX_DATA_PIXEL_GEOMETRY_H

#include "base/host_device.h"
#include "data/augment.h"

enum { FX_CROP_PADDING = 4 };

/* Position p of the padded image, -4..35, as a position of the image: reflect padding, which does
 * not repeat the edge. */
static inline FX_HD int fx_pixel_mirrored(int p)
{
    return p < 0 ? -p : p >= FX_IMAGE_SIDE ? 2 * (FX_IMAGE_SIDE - 1) - p : p;
}

/* The pixel of the image that becomes pixel i of the row's crop, with its flip. */
static inline FX_HD int fx_pixel_crop_source(const struct fx_augment_row *row, int i)
{
    int y = i / FX_IMAGE_SIDE, x = i % FX_IMAGE_SIDE;

    if (row->flip)
        x = FX_IMAGE_SIDE - 1 - x;
    y = fx_pixel_mirrored(row->crop_y - FX_CROP_PADDING + y);
    x = fx_pixel_mirrored(row->crop_x - FX_CROP_PADDING + x);
    return y * FX_IMAGE_SIDE + x;
}

/* An affine map in 16.16 fixed point, as Pillow's affine_fixed (Geometry.c): pixel (x, y) of the
 * result comes from (x0 + a x + b y, y0 + d x + e y) of the source, rounded down. */
struct fx_pixel_walk {
    int32_t a, b, d, e, x0, y0;
};

/* The pixel of the source that becomes pixel i of the result; -1: none, it is black. */
static inline FX_HD int fx_pixel_walk_source(const struct fx_pixel_walk *walk, int i)
{
    int y = i / FX_IMAGE_SIDE, x = i % FX_IMAGE_SIDE;
    int from_x = (walk->x0 + walk->a * x + walk->b * y) >> 16;
    int from_y = (walk->y0 + walk->d * x + walk->e * y) >> 16;
    bool inside = from_x >= 0 && from_x < FX_IMAGE_SIDE && from_y >= 0 && from_y < FX_IMAGE_SIDE;

    return inside ? from_y * FX_IMAGE_SIDE + from_x : -1;
}

/* fx_pixel_walk_of: the affine map of a shear, translation or rotation; false for others. */
bool fx_pixel_walk_of(const struct fx_op *op, struct fx_pixel_walk *walk);

#endif
