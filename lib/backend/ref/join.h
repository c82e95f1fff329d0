/* Two maps become one: the residual sum and the concatenation of channels. */
#ifndef FX_BACKEND_REF_JOIN_H
#define FX_BACKEND_REF_JOIN_H

#include <stdbool.h>
#include <stddef.h>

/* y = a + b, then ReLU if relu; n elements. */
void fx_ref_add(size_t n, const float *a, const float *b, bool relu, float *y);
/* dx += dy where the ReLU let the value pass: for each of the two inputs. */
void fx_ref_add_backward(size_t n, const float *y, const float *dy, bool relu, float *dx);

/* Copies n_outer runs of n_inner floats into (out of) runs of n_total floats at `offset`: one input
 * of a concatenation along the axis whose inner size is n_total. */
void fx_ref_concat(size_t n_outer, size_t n_inner, size_t n_total, size_t offset, const float *x,
                   float *y);
void fx_ref_concat_backward(size_t n_outer, size_t n_inner, size_t n_total, size_t offset,
                            const float *dy, float *dx); /* += */

#endif
