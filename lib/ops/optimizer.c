/* AdamW, SGD and sums of squares over a range; f32 as PyTorch computes them. */
#include "ops/optimizer.h"

#include <math.h>

/* Compiled for the widest vectors of the machine it runs on; every one rounds the same way.  The
 * choice is made while the program is loaded, before the thread sanitizer can stand it; clang
 * before 18 calls the function by a name that no other file looks for. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__SANITIZE_THREAD__) &&                  \
    !(defined(__clang__) && __clang_major__ < 18)
#define VECTORS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VECTORS
#endif

enum { BLOCK = 16 }; /* floats: one AVX-512 register */

/* ---- the numbers of a step ---- */

void fx_update_scales(const struct fx_update *update, double norm, const double norms[FX_N_GROUPS],
                      double scales[FX_N_GROUPS])
{
    bool per_group = false;

    for (int g = 0; g < FX_N_GROUPS; g++)
        per_group = per_group || update->clip_group[g] > 0;
    for (int g = 0; g < FX_N_GROUPS; g++) {
        double max_norm = per_group ? update->clip_group[g] : update->clip;

        scales[g] = update->grad_scale;
        if (max_norm > 0)
            scales[g] *= fmin(1.0, max_norm / ((per_group ? norms[g] : norm) + 1e-6));
    }
}

struct fx_adamw fx_adamw_of(const struct fx_update *u, double lr, double scale)
{
    double correction1 = 1.0 - pow(u->beta1, (double)u->step);
    double correction2 = 1.0 - pow(u->beta2, (double)u->step);

    return (struct fx_adamw){
        .scale = (float)scale,
        .weight_decay_factor = (float)(1.0 - lr * u->weight_decay),
        .beta1 = (float)u->beta1,
        .beta2 = (float)u->beta2,
        .one_minus_beta1 = (float)(1.0 - u->beta1),
        .one_minus_beta2 = (float)(1.0 - u->beta2),
        .step_size = (float)(lr / correction1),
        .sqrt_bias_correction2 = (float)sqrt(correction2),
        .eps = (float)u->eps,
    };
}

struct fx_sgd_momentum fx_sgd_momentum_of(const struct fx_update *u, const struct fx_sgd *sgd,
                                          double lr, double scale)
{
    return (struct fx_sgd_momentum){
        .scale = (float)scale,
        .weight_decay = (float)u->weight_decay,
        .momentum = (float)sgd->momentum,
        .lr = (float)lr,
        .nesterov = sgd->nesterov,
    };
}

/* ---- arithmetic over a range ---- */

VECTORS double fx_sum_squares(const float *g, size_t n)
{
    enum { WIDTH = 8 }; /* independent sums, so that the compiler can use vectors */
    double sums[WIDTH] = { 0 }, sum = 0;
    size_t i = 0;

    for (; i + WIDTH <= n; i += WIDTH)
        for (size_t j = 0; j < WIDTH; j++)
            sums[j] += (double)g[i + j] * (double)g[i + j];
    for (; i < n; i++)
        sum += (double)g[i] * (double)g[i];
    for (size_t j = 0; j < WIDTH; j++)
        sum += sums[j];
    return sum;
}

VECTORS void fx_average_step(double ema, size_t n, float *restrict average,
                             const float *restrict value)
{
    const float step = (float)(1.0 - ema);

    for (size_t i = 0; i < n; i++)
        average[i] += step * (value[i] - average[i]);
}

/* n is a constant where it matters: the compiler then makes vectors of the loop. */
static inline void adamw(const struct fx_adamw *s, size_t n, float *restrict p,
                         const float *restrict g, float *restrict exp_avg,
                         float *restrict exp_avg_sq)
{
    for (size_t i = 0; i < n; i++) {
        float gi = s->scale * g[i];
        float m = s->beta1 * exp_avg[i] + s->one_minus_beta1 * gi;
        float v = s->beta2 * exp_avg_sq[i] + s->one_minus_beta2 * gi * gi;

        exp_avg[i] = m;
        exp_avg_sq[i] = v;
        p[i] = s->weight_decay_factor * p[i] -
               s->step_size * m / (sqrtf(v) / s->sqrt_bias_correction2 + s->eps);
    }
}

VECTORS void fx_adamw_step(const struct fx_adamw *s, size_t n, float *restrict p,
                           const float *restrict g, float *restrict exp_avg,
                           float *restrict exp_avg_sq)
{
    const struct fx_adamw local = *s; /* not touched by what is written */
    size_t i = 0;

    for (; i + BLOCK <= n; i += BLOCK)
        adamw(&local, BLOCK, p + i, g + i, exp_avg + i, exp_avg_sq + i);
    adamw(&local, n - i, p + i, g + i, exp_avg + i, exp_avg_sq + i);
}

static inline void sgd_momentum(const struct fx_sgd_momentum *s, size_t n, float *restrict p,
                                const float *restrict g, float *restrict m)
{
    for (size_t i = 0; i < n; i++) {
        float gi = s->scale * g[i] + s->weight_decay * p[i];
        float mi = s->momentum * m[i] + gi;

        m[i] = mi;
        p[i] -= s->lr * (s->nesterov ? gi + s->momentum * mi : mi);
    }
}

VECTORS void fx_sgd_momentum_step(const struct fx_sgd_momentum *s, size_t n, float *restrict p,
                                  const float *restrict g, float *restrict m)
{
    const struct fx_sgd_momentum local = *s;
    size_t i = 0;

    for (; i + BLOCK <= n; i += BLOCK)
        sgd_momentum(&local, BLOCK, p + i, g + i, m + i);
    sgd_momentum(&local, n - i, p + i, g + i, m + i);
}
