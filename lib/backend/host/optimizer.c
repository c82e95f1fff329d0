/* AdamW, SGD and sums of squares over a range; f32 as PyTorch computes them. */
#include "backend/host/optimizer.h"

#include <math.h>

double fx_sum_squares(const float *g, size_t n)
{
    enum { LANES = 8 }; /* independent sums, so that the compiler can use vectors */
    double lanes[LANES] = { 0 }, sum = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lanes[j] += (double)g[i + j] * (double)g[i + j];
    for (; i < n; i++)
        sum += (double)g[i] * (double)g[i];
    for (size_t j = 0; j < LANES; j++)
        sum += lanes[j];
    return sum;
}

void fx_adamw(const struct fx_adamw_step *s, size_t n, float *restrict p, const float *restrict g,
              float *restrict m, float *restrict v)
{
    for (size_t i = 0; i < n; i++) {
        float gi = s->scale * g[i];
        float mi = s->beta1 * m[i] + s->rest1 * gi;
        float vi = s->beta2 * v[i] + s->rest2 * gi * gi;

        m[i] = mi;
        v[i] = vi;
        p[i] = s->keep * p[i] - s->rate * mi / (sqrtf(vi) / s->root_correction + s->eps);
    }
}

void fx_sgd_momentum(const struct fx_sgd_step *s, size_t n, float *restrict p,
                     const float *restrict g, float *restrict m)
{
    for (size_t i = 0; i < n; i++) {
        float gi = s->scale * g[i] + s->weight_decay * p[i];
        float mi = s->momentum * m[i] + gi;

        m[i] = mi;
        p[i] -= s->lr * (s->nesterov ? gi + s->momentum * mi : mi);
    }
}
