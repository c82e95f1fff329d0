/* Optimizers and gradient clipping: pure functions over ranges of floats.
 *
 * AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019), in the order
 * of torch.optim.AdamW; g is the gradient times grad_scale and the clip coefficient:
 *   p *= 1 - lr * weight_decay
 *   exp_avg = beta1 * exp_avg + (1 - beta1) * g
 *   exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * g^2
 *   p -= lr / (1 - beta1^t) * exp_avg / (sqrt(exp_avg_sq) / sqrt(1 - beta2^t) + eps)
 *
 * SGD with momentum, torch.optim.SGD with dampening 0:
 *   g += weight_decay * p;  m = momentum * m + g;  p -= lr * (nesterov ? g + momentum * m : m) */
#ifndef FX_OPS_OPTIMIZER_H
#define FX_OPS_OPTIMIZER_H

#include "net/graph.h"

/* One step over all trained parameters. */
struct fx_update {
    int64_t step; /* t, from 1: bias correction */
    double lr[FX_N_GROUPS];
    double beta1, beta2, eps, weight_decay;
    double clip;                    /* one global-norm clip over everything; <= 0: none */
    double clip_group[FX_N_GROUPS]; /* > 0: per-group clips replace the global one */
    double grad_scale;              /* of the accumulated gradients: 1 / number of micro-batches */
    double ema;                     /* decay of the averages, in a graph that averages; else 0 */
};
/* SGD for expert training; used instead of AdamW when not NULL. */
struct fx_sgd {
    double momentum;
    bool nesterov;
};

/* A range of the trained parameters' arenas, within one group; fastest where it begins at a
 * multiple of 4. */
struct fx_chunk {
    size_t begin, end; /* floats */
    enum fx_param_group group;
};

/* Exponential moving average: average += (1 - ema) * (value - average), for all n floats. */
void fx_average_step(double ema, size_t n, float *average, const float *value);

/* Sum of squares of g[0..n) in double. */
double fx_sum_squares(const float *g, size_t n);

/* fx_update_scales: what each group's gradients are multiplied by: grad_scale, and the clip
 * coefficient of torch.nn.utils.clip_grad_norm_, min(1, max_norm / (norm + 1e-6)).
 *   norm, norms  in  of all gradients and of each group's, times grad_scale */
void fx_update_scales(const struct fx_update *update, double norm, const double norms[FX_N_GROUPS],
                      double scales[FX_N_GROUPS]);

/* The numbers of an AdamW step of one group, in f32. */
struct fx_adamw {
    float scale;               /* of the gradient */
    float weight_decay_factor; /* 1 - lr * weight_decay */
    float beta1, beta2;
    float one_minus_beta1, one_minus_beta2; /* from doubles: in float 1 - 0.999 is off by 1e-5 */
    float step_size;                        /* lr / (1 - beta1^t) */
    float sqrt_bias_correction2;            /* sqrt(1 - beta2^t) */
    float eps;
};
struct fx_adamw fx_adamw_of(const struct fx_update *update, double lr, double scale);
/* All arrays of n floats; p, exp_avg and exp_avg_sq in place. */
void fx_adamw_step(const struct fx_adamw *s, size_t n, float *p, const float *g, float *exp_avg,
                   float *exp_avg_sq);

/* The same of SGD. */
struct fx_sgd_momentum {
    float scale;
    float weight_decay;
    float momentum;
    float lr;
    bool nesterov;
};
struct fx_sgd_momentum fx_sgd_momentum_of(const struct fx_update *update, const struct fx_sgd *sgd,
                                          double lr, double scale);
void fx_sgd_momentum_step(const struct fx_sgd_momentum *s, size_t n, float *p, const float *g,
                          float *momentum_buffer);

#endif
