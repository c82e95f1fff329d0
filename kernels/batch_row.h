/* A row of the augmentation table as it travels to the device: with the walks of the operations
 * that move pixels, which only the host works out (data/pixel_geometry.h). */
#ifndef FX_KERNELS_BATCH_ROW_H
#define FX_KERNELS_BATCH_ROW_H

#include "data/pixel_geometry.h"

struct fx_k_row {
    struct fx_augment_row row;
    struct fx_pixel_walk walks[FX_MAX_AUGMENT_OPS]; /* of row.ops; zeros where none is needed */
};

#endif
