/* LayerNorm over the channels of each row.
 * Source: Ba et al., "Layer Normalization" (2016); biased variance as torch.nn.LayerNorm. */
#ifndef FX_BACKEND_REF_LAYERNORM_H
#define FX_BACKEND_REF_LAYERNORM_H

struct fx_layernorm {
    int rows; /* images times tokens */
    int c;
    float eps;
};

/* x, y, dx, dy (rows, c); weight, bias and their gradients (c).  y =, gradients +=; dx may be NULL.
 */
void fx_ref_layernorm(const struct fx_layernorm *k, const float *x, const float *weight,
                      const float *bias, float *y);
void fx_ref_layernorm_backward(const struct fx_layernorm *k, const float *x, const float *dy,
                               const float *weight, float *dx, float *dweight, float *dbias);

#endif
