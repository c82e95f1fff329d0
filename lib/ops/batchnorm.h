/* BatchNorm over (N, H, W) of each channel, with the ReLU behind it.
 * Source: Ioffe and Szegedy, "Batch Normalization" (ICML 2015); conventions of
 * torch.nn.BatchNorm2d. */
#ifndef FX_OPS_BATCHNORM_H
#define FX_OPS_BATCHNORM_H

#include <stdbool.h>
#include <stddef.h>

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
/* Gradients through the batch statistics (training); all += ; dx may be NULL. */
void fx_batchnorm_backward(const struct fx_batchnorm *k, const float *x, const float *y,
                           const float *dy, const double *mean, const double *var,
                           const float *weight, float *dx, float *dweight, float *dbias);

#endif
