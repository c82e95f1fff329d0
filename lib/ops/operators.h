/* The operators of the networks in plain C, each forward and backward, with its formula and source:
 * convolution, batch norm, residual sum, concatenation, pooling; then those that work on rows:
 * linear, layer norm, attention, and the nodes of fusion modules.  Dropout is in ops/dropout.h.
 *
 * Values are f32, maps (N, C, H, W).  Results are written (=), gradients are added (+=). */
#ifndef FX_OPS_OPERATORS_H
#define FX_OPS_OPERATORS_H

#include "ops/dropout.h"

#include <stdbool.h>
#include <stddef.h>

/* Two-dimensional convolution with torch.nn.Conv2d's definition (cross-correlation): square kernel,
 * zero padding, groups, no bias; sums in double.
 *
 *   y[n,o,i,j] = sum_{c,r,s} w[o,c,r,s] * x[n, c, i*stride - pad + r, j*stride - pad + s] */

struct fx_conv2d {
    int n;
    int c_in, h_in, w_in;
    int c_out, h_out, w_out;
    int kernel, stride, pad, groups;
};

/* x (n, c_in, h_in, w_in), w (c_out, c_in/groups, kernel, kernel), y (n, c_out, h_out, w_out).
 * row: scratch of max(w_in, w_out) doubles.  y is written (=), gradients are added (+=). */
void fx_conv2d_forward(const struct fx_conv2d *k, const float *x, const float *w, float *y,
                       double *row);
void fx_conv2d_backward_data(const struct fx_conv2d *k, const float *dy, const float *w, float *dx,
                             double *row);
void fx_conv2d_backward_weight(const struct fx_conv2d *k, const float *x, const float *dy,
                               float *dw);

/* BatchNorm over (N, H, W) of each channel, with the ReLU behind it.
 * Source: Ioffe and Szegedy, "Batch Normalization" (ICML 2015); conventions of
 * torch.nn.BatchNorm2d. */

struct fx_batchnorm {
    int n, c;
    int area; /* H * W */
    float eps;
    bool relu;
};

/* x, y, dx, dy (n, c, area); everything else (c).  var is the biased variance. */

void fx_batchnorm_stats(const struct fx_batchnorm *k, const float *x, double *mean, double *var);
/* What the running variance averages: var * m / (m - 1) with m = n * area (m = 1: var). */
double fx_batchnorm_unbiased(const struct fx_batchnorm *k, double var);

/* The running statistics, with torch.nn.BatchNorm2d's meaning of momentum:
 * next = (1 - momentum) * last + momentum * batch, n values; next may be last. */
void fx_running_average(size_t n, float momentum, const float *last, const float *batch,
                        float *next);

/* y = weight * (x - mean) / sqrt(var + eps) + bias, then ReLU. */
void fx_batchnorm_forward(const struct fx_batchnorm *k, const float *x, const double *mean,
                          const double *var, const float *weight, const float *bias, float *y);
/* Gradients through the batch statistics (training); all += ; dx may be NULL.  dweight and dbias
 * NULL: the norm is fixed, mean and var are its running statistics, constants. */
void fx_batchnorm_backward(const struct fx_batchnorm *k, const float *x, const float *y,
                           const float *dy, const double *mean, const double *var,
                           const float *weight, float *dx, float *dweight, float *dbias);

/* Residual sum with the ReLU behind it: y = relu(a + b).
 * Source: He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016). */

/* y = a + b, then ReLU if relu; n elements. */
void fx_add_forward(size_t n, const float *a, const float *b, bool relu, float *y);
/* dx += dy where the ReLU let the value pass: for each of the two inputs. */
void fx_add_backward(size_t n, const float *y, const float *dy, bool relu, float *dx);

/* Concatenation along the channels, one input at a time.
 * Source: Huang et al., "Densely Connected Convolutional Networks" (CVPR 2017). */

/* The input's n_outer runs of n_inner floats go to `offset` of runs of n_total floats: of maps
 * (N, C, H, W) a run is an image, n_inner = C * H * W; of rows (N, T, C) it is a row, n_inner = C.
 * forward: y = x there; backward: dx += dy there. */
void fx_concat_forward(size_t n_outer, size_t n_inner, size_t n_total, size_t offset,
                       const float *x, float *y);
void fx_concat_backward(size_t n_outer, size_t n_inner, size_t n_total, size_t offset,
                        const float *dy, float *dx);

/* Average pooling: torch.nn.AvgPool2d(2), and the mean over the whole map (AdaptiveAvgPool2d(1)).
 */

/* n_planes maps (images times channels) of h x w; an odd last row or column is left out.
 * y (n_planes, h/2, w/2) is written (=), dx is added to (+=). */
void fx_avgpool2_forward(int n_planes, int h, int w, const float *x, float *y);
void fx_avgpool2_backward(int n_planes, int h, int w, const float *dy, float *dx);

/* y (n_planes): the mean of each map of `area` values. */
void fx_globalpool_forward(int n_planes, int area, const float *x, float *y);
void fx_globalpool_backward(int n_planes, int area, const float *dy, float *dx);

/* Fully connected layer on rows with the ReLU behind it; torch.nn.Linear: y = relu(x W^T + b). */

struct fx_linear {
    int rows; /* images times tokens */
    int c_in, c_out;
    bool relu;
};

/* x (rows, c_in), w (c_out, c_in), b (c_out), y (rows, c_out) written with =. */
void fx_linear_forward(const struct fx_linear *k, const float *x, const float *w, const float *b,
                       float *y);
/* All gradients += ; dx may be NULL, or dw and db.  y: the forward result, for the ReLU. */
void fx_linear_backward(const struct fx_linear *k, const float *x, const float *w, const float *y,
                        const float *dy, float *dx, float *dw, float *db);

/* LayerNorm over the channels of each row: y = weight * (x - mean) / sqrt(var + eps) + bias.
 * Source: Ba et al., "Layer Normalization" (2016); biased variance as torch.nn.LayerNorm. */

struct fx_layernorm {
    int rows; /* images times tokens */
    int c;
    float eps;
};

/* x, y, dx, dy (rows, c); weight, bias and their gradients (c).  y =, gradients +=; dx may be NULL,
 * or dweight and dbias. */
void fx_layernorm_forward(const struct fx_layernorm *k, const float *x, const float *weight,
                          const float *bias, float *y);
void fx_layernorm_backward(const struct fx_layernorm *k, const float *x, const float *dy,
                           const float *weight, float *dx, float *dweight, float *dbias);

/* Multi-head self-attention between the tokens of an image (one token an expert).
 * Source: Vaswani et al., "Attention Is All You Need" (2017); conventions of
 * torch.nn.MultiheadAttention without its two projections, which are LINEAR nodes. */

struct fx_attention {
    int n, tokens;                    /* tokens <= FX_NODE_MAX_INPUTS */
    int c, heads;                     /* c: width of the output; a head has c / heads */
    const struct fx_dropout *dropout; /* on the attention weights; NULL: none (evaluation) */
    const uint32_t *images;           /* (n) numbers in the data set, for dropout */
};

/* qkv, d_qkv (n, tokens, 3c): q, k and v side by side; y, dy (n, tokens, c).  y =, d_qkv +=. */
void fx_attention_forward(const struct fx_attention *k, const float *qkv, float *y);
void fx_attention_backward(const struct fx_attention *k, const float *qkv, const float *dy,
                           float *d_qkv);

/* What fusion modules do to the experts' features: product, weighted and gated sum, stack, mean of
 * tokens; and to their logits: the residual.  The modules themselves are compositions of these
 * nodes (net/fusion). */

/* n_values inputs, all of the same shape, n_elements each over the whole batch.  Outputs are
 * written (=); gradients are added (+=), and an entry of dx may be NULL. */

/* y = prod_k (x_k + shift);  dx_k = dy * prod_{j != k} (x_j + shift) */
void fx_product_forward(int n_values, size_t n_elements, const float *const *x, float shift,
                        float *y);
void fx_product_backward(int n_values, size_t n_elements, const float *const *x, float shift,
                         const float *dy, float *const *dx);

/* y = sum_k softmax(w)_k x_k;  w, dw (n_values); dw may be NULL */
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
