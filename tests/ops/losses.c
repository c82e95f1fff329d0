/* The losses of all heads and the gradients of their logits against a literal implementation: sums
 * directly, gradients by finite differences of it (teachers of both distillations held fixed). */
#include "ops/loss.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { N = 4, C = 7, K = 3, N_HEADS = K + 1, FUSED = K };

static float logits[N_HEADS][N * C], gradients[N_HEADS][N * C];
static const uint8_t labels[N] = { 3, 0, 6, 3 };
static const uint32_t partner[N] = { 2, 0, 1, 2 };

struct variant {
    const char *what;
    bool has_fused, is_mixed;
    struct fx_loss_config config;
    float lam;
};

static void fill_logits(void)
{
    for (int h = 0; h < N_HEADS; h++)
        for (int i = 0; i < N * C; i++)
            logits[h][i] = (float)(3 * sin(1.7 * i + 5 * h));
}

static void softmax(const double *z, double *p)
{
    double sum = 0;

    for (int c = 0; c < C; c++)
        sum += exp(z[c]);
    for (int c = 0; c < C; c++)
        p[c] = exp(z[c]) / sum;
}

/* Cross-entropy of one row of a head: the mix of two smoothed cross-entropies. */
static double literal_ce(const struct variant *v, const double *z, int i)
{
    double p[C], eps = (double)v->config.label_smoothing, ce[2] = { 0, 0 };
    int y[2] = { labels[i], labels[partner[i]] };

    softmax(z, p);
    for (int s = 0; s < 2; s++)
        for (int c = 0; c < C; c++)
            ce[s] -= (eps / C + (c == y[s] ? 1 - eps : 0)) * log(p[c]);
    return v->is_mixed ? (double)v->lam * ce[0] + (1 - (double)v->lam) * ce[1] : ce[0];
}

/* mean over j != k of KL(teacher j || student k) of row i */
static double literal_kl(double z[N_HEADS][N * C], int k, int i)
{
    double student[C], teacher[C], t[C], sum = 0;

    softmax(&z[k][i * C], student);
    for (int j = 0; j < K; j++) {
        if (j == k)
            continue;
        for (int c = 0; c < C; c++)
            t[c] = (double)logits[j][i * C + c];
        softmax(t, teacher);
        for (int c = 0; c < C; c++)
            sum += teacher[c] * log(teacher[c] / student[c]);
    }
    return sum / (K - 1);
}

/* KL(softmax(m / T) || softmax(z / T)) of row i, m the mean of the experts' stored logits */
static double literal_soft_kl(const struct variant *v, const double *z, int i)
{
    double t = (double)v->config.kd_temperature;
    double teacher[C], student[C], m[C] = { 0 }, s[C], sum = 0;

    for (int c = 0; c < C; c++) {
        for (int k = 0; k < K; k++)
            m[c] += (double)logits[k][i * C + c] / K / t;
        s[c] = z[c] / t;
    }
    softmax(m, teacher);
    softmax(s, student);
    for (int c = 0; c < C; c++)
        sum += teacher[c] * log(teacher[c] / student[c]);
    return sum;
}

/* (1 - w) CE + w T^2 KL */
static double literal_head(const struct variant *v, const double *z, int i, double w)
{
    double t = (double)v->config.kd_temperature;

    return (1 - w) * literal_ce(v, z, i) + (w > 0 ? w * t * t * literal_soft_kl(v, z, i) : 0);
}

/* The loss of a whole batch, a sum over images; teachers are always the stored logits. */
static double literal_total(const struct variant *v, double z[N_HEADS][N * C])
{
    double alpha = v->has_fused ? (double)v->config.alpha : 1, total = 0;

    for (int i = 0; i < N; i++) {
        if (v->has_fused)
            total += literal_head(v, &z[FUSED][i * C], i, (double)v->config.kd);
        for (int k = 0; k < K; k++)
            total += alpha * (literal_head(v, &z[k][i * C], i, (double)v->config.kd_experts) +
                              (double)v->config.distill * literal_kl(z, k, i));
    }
    return total;
}

static struct fx_losses run(const struct variant *v)
{
    struct fx_targets targets = { .labels = labels,
                                  .partner = v->is_mixed ? partner : NULL,
                                  .lam = v->lam };
    struct fx_heads heads = { .n = N, .n_classes = C, .n_experts = K };
    struct fx_losses losses = { 0 };

    for (int k = 0; k < K; k++) {
        heads.experts[k] = logits[k];
        heads.d_experts[k] = gradients[k];
    }
    heads.fused = v->has_fused ? logits[FUSED] : NULL;
    heads.d_fused = v->has_fused ? gradients[FUSED] : NULL;
    fx_loss_heads(&heads, &targets, &v->config, &losses);
    return losses;
}

static void check_gradients(const struct variant *v)
{
    static double z[N_HEADS][N * C];
    const double h = 1e-5;

    for (int head = 0; head < N_HEADS; head++)
        for (int i = 0; i < N * C; i++)
            z[head][i] = (double)logits[head][i];
    for (int head = 0; head < N_HEADS; head++) {
        if (head == FUSED && !v->has_fused)
            continue;
        for (int i = 0; i < N * C; i++) {
            double x = z[head][i], plus, minus, slope;

            z[head][i] = x + h;
            plus = literal_total(v, z);
            z[head][i] = x - h;
            minus = literal_total(v, z);
            z[head][i] = x;
            slope = (plus - minus) / (2 * h) / N;
            if (!(fabs(slope - (double)gradients[head][i]) < 1e-7))
                fail_msg("%s: gradient of head %d, logit %d is %.9g, finite difference %.9g",
                         v->what, head, i, (double)gradients[head][i], slope);
        }
    }
}

static void losses_and_gradients_are_the_literal_ones(void **state)
{
    static const struct variant variants[] = {
        { "plain", true, false, { 1, 0, 0, 0, 0, 0 }, 1 },
        { "label smoothing", true, false, { 1, 0.1f, 0, 0, 0, 0 }, 1 },
        { "mixed", true, true, { 1, 0, 0, 0, 0, 0 }, 0.3f },
        { "mixed, smoothed, alpha", true, true, { 0.5f, 0.08f, 0, 0, 0, 0 }, 0.7f },
        { "distillation", true, false, { 1, 0, 0.1f, 0, 0, 0 }, 1 },
        { "from the ensemble", true, false, { 1, 0, 0, 0.5f, 0, 2 }, 1 },
        { "nothing but the ensemble", true, false, { 1, 0.1f, 0, 1, 1, 4 }, 1 },
        { "into the experts", true, false, { 0.5f, 0.1f, 0, 0, 0.3f, 1.5f }, 1 },
        { "everything", true, true, { 0.5f, 0.1f, 0.2f, 0.4f, 0.3f, 3 }, 0.6f },
        { "experts only", false, true, { 0.5f, 0.1f, 0.2f, 0, 0, 0 }, 0.6f },
    };

    (void)state;
    fill_logits();
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        const struct variant *v = &variants[i];
        struct fx_losses losses = run(v);
        double z[N_HEADS][N * C], expert0 = 0, kl0 = 0;

        for (int head = 0; head < N_HEADS; head++)
            for (int j = 0; j < N * C; j++)
                z[head][j] = (double)logits[head][j];
        for (int j = 0; j < N; j++) {
            expert0 += literal_ce(v, &z[0][j * C], j);
            kl0 += literal_kl(z, 0, j);
        }
        assert_int_equal(losses.n_images, N);
        assert_float_equal(losses.total, literal_total(v, z), 1e-9);
        assert_float_equal(losses.expert[0], expert0, 1e-9);
        assert_float_equal(losses.distill[0], v->config.distill > 0 ? kl0 : 0, 1e-9);
        check_gradients(v);
    }
}

/* Two images, three classes, two experts, with counts one can see. */
static void counts_and_ensemble(void **state)
{
    static const float a[] = { 2, 1, 0, 0, 0, 5 }, b[] = { 0, 3, 0, 0, 1, 0 };
    static const float fused[] = { 0, 0, 0, 1, 1, 1 };
    static const uint8_t y[] = { 1, 2 };
    struct fx_heads heads = {
        .n = 2, .n_classes = 3, .n_experts = 2, .fused = fused, .experts = { a, b }
    };
    struct fx_targets targets = { .labels = y };
    struct fx_loss_config config = { .alpha = 1 };
    struct fx_losses losses = { 0 };
    double first = -log(exp(2) / (exp(1) + exp(2) + 1));
    double second = -log(exp(2.5) / (1 + exp(0.5) + exp(2.5)));

    (void)state;
    fx_loss_heads(&heads, &targets, &config, &losses);
    assert_int_equal(losses.expert_correct[0], 1);
    assert_int_equal(losses.expert_correct[1], 1);
    assert_int_equal(losses.ensemble_correct, 2);
    assert_int_equal(losses.fused_correct, 0); /* ties go to class 0 */
    assert_float_equal(losses.fused, 2 * log(3), 1e-12);
    assert_float_equal(losses.ensemble, first + second, 1e-12);
    fx_loss_heads(&heads, &targets, &config, &losses);
    assert_int_equal(losses.n_images, 4);
    assert_int_equal(losses.ensemble_correct, 4);
}

/* Four images: right for the own label, for the partner's, for both, for neither. */
static void mixed_labels_count_in_part(void **state)
{
    static const float a[] = { 3, 1, 0, 0, 2, 1, 0, 1, 5, 1, 0, 0 };
    static const float fused[] = { 0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0 };
    static const uint8_t y[] = { 0, 2, 2, 1 };
    static const uint32_t paired[] = { 1, 3, 1, 3 };
    struct fx_targets targets = { .labels = y, .partner = paired, .lam = 0.25f };
    struct fx_heads heads = { .n = 4, .n_classes = 3, .n_experts = 1, .experts = { a } };
    struct fx_loss_config config = { .alpha = 1 };
    struct fx_losses losses = { 0 };

    (void)state;
    fx_loss_heads(&heads, &targets, &config, &losses);
    assert_float_equal(losses.correct, 0.25 + 0.75 + 1 + 0, 0);
    assert_int_equal(losses.expert_correct[0], 2);
    targets.partner = NULL;
    fx_loss_heads(&heads, &targets, &config, &losses);
    assert_float_equal(losses.correct, 2 + 2, 0);
    heads.fused = fused; /* decides where there is one */
    fx_loss_heads(&heads, &targets, &config, &losses);
    assert_float_equal(losses.correct, 4 + 1, 0);
}

/* Logits far outside exp's range are fine; a logit that is not a number is noticed. */
static void extreme_logits(void **state)
{
    float z[] = { 1e30f, -1e30f };
    static const uint8_t y[] = { 1 };
    struct fx_heads heads = { .n = 1, .n_classes = 2, .n_experts = 1, .experts = { z } };
    struct fx_targets targets = { .labels = y };
    struct fx_loss_config config = { .alpha = 1 };
    struct fx_losses losses = { 0 };

    (void)state;
    fx_loss_heads(&heads, &targets, &config, &losses);
    assert_float_equal(losses.total / 2e30, 1, 1e-6);
    z[0] = NAN;
    fx_loss_heads(&heads, &targets, &config, &losses);
    assert_false(isfinite(losses.total));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_and_gradients_are_the_literal_ones),
        cmocka_unit_test(counts_and_ensemble),
        cmocka_unit_test(mixed_labels_count_in_part),
        cmocka_unit_test(extreme_logits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
