/* What fusion modules do to the experts' features: product, weighted and gated sum, stack, mean of
 * tokens; and to their logits: the residual.  The modules themselves are compositions of these
 * nodes (net/fusion). */
#ifndef FX_OPS_FUSION_H
#define FX_OPS_FUSION_H

#include <stddef.h>

/* n_values inputs, all of the same shape, n_elements each over the whole batch.  Outputs are
 * written (=); gradients are added (+=), and an entry of dx may be NULL. */

/* y = prod_k (x_k + shift);  dx_k = dy * prod_{j != k} (x_j + shift) */
void fx_product_forward(int n_values, size_t n_elements, const float *const *x, float shift,
                        float *y);
void fx_product_backward(int n_values, size_t n_elements, const float *const *x, float shift,
                         const float *dy, float *const *dx);

/* y = sum_k softmax(w)_k x_k;  w, dw (n_values) */
void fx_weighted_sum_forward(int n_values, size_t n_elements, const float *const *x, const float *w,
                             float *y);
void fx_weighted_sum_backward(int n_values, size_t n_elements, const float *const *x,
                              const float *w, const float *dy, float *const *dx, float *dw);

/* y = sum_k softmax(g)_k x_k, image by image: x_k, y (n, c);  g, dg (n, n_values); dg may be NULL
 */
void fx_gated_sum_forward(int n_values, int n, int c, const float *const *x, const float *g,
                          float *y);
void fx_gated_sum_backward(int n_values, int n, int c, const float *const *x, const float *g,
                           const float *dy, float *const *dx, float *dg);

/* torch.stack(x, dim=1), y (n, n_values, c): token k of image i is row i of x_k (n, c). */
void fx_stack_forward(int n_values, int n, int c, const float *const *x, float *y);
void fx_stack_backward(int n_values, int n, int c, const float *dy, float *const *dx);

/* x.mean(dim=1), y (n, c): the mean over tokens of x (n, tokens, c). */
void fx_token_mean_forward(int n, int tokens, int c, const float *x, float *y);
void fx_token_mean_backward(int n, int tokens, int c, const float *dy, float *dx);

/* y = x_0 + the mean of x_1 .. x_{n_values - 1};  dx_0 = dy, the others' dx = dy / (n_values - 1)
 */
void fx_residual_forward(int n_values, size_t n_elements, const float *const *x, float *y);
void fx_residual_backward(int n_values, size_t n_elements, const float *dy, float *const *dx);

#endif
