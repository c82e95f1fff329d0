/* What the fusion modules do to the experts' vectors: product, weighted sum, stack, token mean. */
#ifndef FX_BACKEND_REF_FUSE_H
#define FX_BACKEND_REF_FUSE_H

#include <stddef.h>

/* n_values vectors, all of the same shape, n_elements each over the whole batch.  Outputs are
 * written (=); gradients are added (+=), and an entry of dx may be NULL. */

/* y = prod_k (x_k + shift) */
void fx_ref_product(int n_values, size_t n_elements, const float *const *x, float shift, float *y);
void fx_ref_product_backward(int n_values, size_t n_elements, const float *const *x, float shift,
                             const float *dy, float *const *dx);

/* y = sum_k softmax(w)_k x_k;  w, dw (n_values) */
void fx_ref_weighted_sum(int n_values, size_t n_elements, const float *const *x, const float *w,
                         float *y);
void fx_ref_weighted_sum_backward(int n_values, size_t n_elements, const float *const *x,
                                  const float *w, const float *dy, float *const *dx, float *dw);

/* y (n, n_values, c): token k of image i is row i of x_k (n, c). */
void fx_ref_stack(int n_values, int n, int c, const float *const *x, float *y);
void fx_ref_stack_backward(int n_values, int n, int c, const float *dy, float *const *dx);

/* y (n, c): the mean over tokens of x (n, tokens, c). */
void fx_ref_token_mean(int n, int tokens, int c, const float *x, float *y);
void fx_ref_token_mean_backward(int n, int tokens, int c, const float *dy, float *dx);

#endif
