/* Convolution weights between C order and the layout of cuDNN and cuBLASLt. */
#ifndef FX_BACKEND_CUDA_KRSC_H
#define FX_BACKEND_CUDA_KRSC_H

#include "backend/host/blocks.h"

/* plain: (c_out, c_in / groups, kernel, kernel) in C order; packed: (merged, out, kernel, kernel,
 * in), fx_weight_floats(l) values.  pack also writes the zeros. */
void fx_krsc_pack(const struct fx_weight_layout *l, const float *plain, float *packed);
void fx_krsc_unpack(const struct fx_weight_layout *l, const float *packed, float *plain);

#endif
