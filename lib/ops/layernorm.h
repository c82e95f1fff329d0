/* LayerNorm over the channels of each row: y = weight * (x - mean) / sqrt(var + eps) + bias.
 * Source: Ba et al., "Layer Normalization" (2016); biased variance as torch.nn.LayerNorm. */
#ifndef FX_OPS_LAYERNORM_H
#define FX_OPS_LAYERNORM_H

struct fx_layernorm {
    int rows; /* images times tokens */
    int c;
    float eps;
};

/* x, y, dx, dy (rows, c); weight, bias and their gradients (c).  y =, gradients +=; dx may be NULL.
 */
void fx_layernorm_forward(const struct fx_layernorm *k, const float *x, const float *weight,
                          const float *bias, float *y);
void fx_layernorm_backward(const struct fx_layernorm *k, const float *x, const float *dy,
                           const float *weight, float *dx, float *dweight, float *dbias);

#endif
