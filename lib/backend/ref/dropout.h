/* Dropout of a value in canonical order. */
#ifndef FX_BACKEND_REF_DROPOUT_H
#define FX_BACKEND_REF_DROPOUT_H

#include "backend/host/dropout_mask.h"

/* fx_ref_dropout: y = mask(x); x and y (n, tokens, c, h, w) may not alias.
 *   images  in  (n) numbers in the data set
 * fx_ref_dropout_backward: dx += mask(dy), the same mask. */
void fx_ref_dropout(const struct fx_dropout *d, int n, struct fx_value_shape shape,
                    const uint32_t *images, const float *x, float *y);
void fx_ref_dropout_backward(const struct fx_dropout *d, int n, struct fx_value_shape shape,
                             const uint32_t *images, const float *dy, float *dx);

#endif
