/* AdamW, SGD and sums of squares over a range; f32 as PyTorch computes them. */
#include "backend/host/optimizer.h"

#include <math.h>

/* Compiled for the widest vectors of the machine it runs on; every one rounds the same way.  The
 * choice is made while the program is loaded, before the thread sanitizer can stand it. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__SANITIZE_THREAD__)
#define VECTORS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VECTORS
#endif

enum { BLOCK = 16 }; /* floats: one AVX-512 register */

VECTORS double fx_sum_squares(const float *g, size_t n)
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

/* n is a constant where it matters: the compiler then makes vectors of the loop. */
static inline void adamw(const struct fx_adamw_step *s, size_t n, float *restrict p,
                         const float *restrict g, float *restrict m, float *restrict v)
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

VECTORS void fx_adamw(const struct fx_adamw_step *s, size_t n, float *restrict p,
                      const float *restrict g, float *restrict m, float *restrict v)
{
    const struct fx_adamw_step local = *s; /* not touched by what is written */
    size_t i = 0;

    for (; i + BLOCK <= n; i += BLOCK)
        adamw(&local, BLOCK, p + i, g + i, m + i, v + i);
    adamw(&local, n - i, p + i, g + i, m + i, v + i);
}

static inline void sgd_momentum(const struct fx_sgd_step *s, size_t n, float *restrict p,
                                const float *restrict g, float *restrict m)
{
    for (size_t i = 0; i < n; i++) {
        float gi = s->scale * g[i] + s->weight_decay * p[i];
        float mi = s->momentum * m[i] + gi;

        m[i] = mi;
        p[i] -= s->lr * (s->nesterov ? gi + s->momentum * mi : mi);
    }
}

VECTORS void fx_sgd_momentum(const struct fx_sgd_step *s, size_t n, float *restrict p,
                             const float *restrict g, float *restrict m)
{
    const struct fx_sgd_step local = *s;
    size_t i = 0;

    for (; i + BLOCK <= n; i += BLOCK)
        sgd_momentum(&local, BLOCK, p + i, g + i, m + i);
    sgd_momentum(&local, n - i, p + i, g + i, m + i);
}
