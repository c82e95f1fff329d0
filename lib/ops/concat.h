/* Concatenation along the channels, one input at a time.
 * Source: Huang et al., "Densely Connected Convolutional Networks" (CVPR 2017). */
#ifndef FX_OPS_CONCAT_H
#define FX_OPS_CONCAT_H

#include <stddef.h>

/* The input's n_outer runs of n_inner floats go to `offset` of runs of n_total floats: of maps
 * (N, C, H, W) a run is an image, n_inner = C * H * W; of rows (N, T, C) it is a row, n_inner = C.
 * forward: y = x there; backward: dx += dy there. */
void fx_concat_forward(size_t n_outer, size_t n_inner, size_t n_total, size_t offset,
                       const float *x, float *y);
void fx_concat_backward(size_t n_outer, size_t n_inner, size_t n_total, size_t offset,
                        const float *dy, float *dx);

#endif
