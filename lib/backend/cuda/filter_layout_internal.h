/* Convolution weights between C order and the layout of cuDNN and cuBLASLt. */
#ifndef FX_BACKEND_CUDA_FILTER_LAYOUT_INTERNAL_H
#define FX_BACKEND_CUDA_FILTER_LAYOUT_INTERNAL_H

#include "net/blocks.h"

/* plain: (c_out, c_in / groups, kernel, kernel) in C order; packed: (merged, out, kernel, kernel,
 * in), fx_weight_floats(l) values.  pack also writes the zeros. */
void fx_filter_pack(const struct fx_weight_layout *l, const float *plain, float *packed);
void fx_filter_unpack(const struct fx_weight_layout *l, const float *packed, float *plain);

#endif
