/* The elementwise mathematics of a step over a range of an arena; pure functions. */
#ifndef FX_BACKEND_HOST_OPTIMIZER_H
#define FX_BACKEND_HOST_OPTIMIZER_H

#include <stdbool.h>
#include <stddef.h>

/* Sum of squares of g[0..n) in double. */
double fx_sum_squares(const float *g, size_t n);

/* One AdamW step (Loshchilov and Hutter, "Decoupled Weight Decay Regularization"; the order of
 * torch.optim.AdamW): with g the gradient times scale,
 *   p -= lr * decay * p;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
 *   p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps) */
struct fx_adamw_step {
    float scale; /* of the gradient: clip coefficient and micro-batches */
    float keep;  /* 1 - lr * weight_decay */
    float beta1, beta2;
    float rest1, rest2;    /* 1 - beta, from doubles: in float 1 - 0.999 is off by 1e-5 */
    float rate;            /* lr / (1 - beta1^t) */
    float root_correction; /* sqrt(1 - beta2^t) */
    float eps;
};
/* All arrays of n floats; p, m, v in place. */
void fx_adamw(const struct fx_adamw_step *s, size_t n, float *p, const float *g, float *m,
              float *v);

/* One step of torch.optim.SGD (dampening 0): with g the gradient times scale plus decay * p,
 *   m = momentum m + g;  p -= lr * (nesterov ? g + momentum m : m) */
struct fx_sgd_step {
    float scale;
    float weight_decay;
    float momentum;
    float lr;
    bool nesterov;
};
void fx_sgd_momentum(const struct fx_sgd_step *s, size_t n, float *p, const float *g, float *m);

#endif
