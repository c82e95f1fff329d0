/* Statistics of verdicts, against values worked out by hand and published ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "score/interval.h"
#include "score/separation.h"
#include "score/summary.h"
#include "score/temperature.h"

static void assert_near(double value, double expected, double within)
{
    if (!(fabs(value - expected) <= within))
        fail_msg("%.12g, expected %.12g", value, expected);
}

/* softmax (1/2, 1/4, 1/4); at temperature 1/2 the odds are squared: (4, 1, 1) / 6. */
static void test_verdict(void **state)
{
    const float logits[3] = { logf(2), 0, 0 };
    struct fx_verdict verdict = fx_verdict_of(logits, 3, 2, 1);
    struct fx_verdict sharp = fx_verdict_of(logits, 3, 2, 0.5);

    (void)state;
    assert_int_equal(verdict.predicted, 0);
    assert_int_equal(verdict.rank, 2); /* of equals the first counts */
    assert_near(verdict.probability, 0.5, 1e-7);
    assert_near(verdict.loss, log(4), 1e-7);
    assert_near(verdict.brier, 0.25 + 0.0625 + 0.5625, 1e-7);
    assert_near(verdict.energy, -log(4), 1e-7);
    assert_near(sharp.probability, 4.0 / 6, 1e-7);
    assert_near(sharp.loss, log(6), 1e-7);
    assert_near(sharp.brier, (16.0 + 1 + 25) / 36, 1e-7);
    assert_near(sharp.energy, -0.5 * log(6), 1e-7);
}

static void test_verdict_of_what_is_no_number(void **state)
{
    const float logits[3] = { NAN, 1, NAN };
    struct fx_verdict verdict = fx_verdict_of(logits, 3, 1, 1);

    (void)state;
    assert_in_range(verdict.predicted, 0, 2);
    assert_int_equal(verdict.rank, 2);
    assert_true(isnan(verdict.loss));
}

/* 16 images: the first bin of equal mass has two.  Probabilities i / 16, right when i is odd. */
static void test_equal_mass(void **state)
{
    struct fx_verdict verdicts[16] = { 0 };
    struct fx_bin bins[FX_ECE_BINS];
    struct fx_err err = { 0 };
    double sum = fabs(1 - (0.0 + 1.0) / 16); /* images 0 and 1 */

    (void)state;
    for (int i = 0; i < 16; i++) {
        int at = 15 - i; /* in no order */
        verdicts[at].probability = i / 16.0;
        verdicts[at].rank = i % 2 == 1 ? 0 : 3;
        sum += i < 2 ? 0 : fabs(i % 2 - i / 16.0);
    }
    assert_int_equal(fx_bins_equal_mass(verdicts, 16, bins, &err), FX_OK);
    assert_int_equal(bins[0].n, 2);
    assert_int_equal(bins[14].n, 1);
    assert_near(fx_ece(bins), 100 * sum / 16, 1e-12);
}

static void test_summary(void **state)
{
    const float logits[2][6] = { { 6, 5, 4, 3, 2, 1 }, { 6, 5, 4, 3, 2, 1 } };
    struct fx_verdict verdicts[2] = { fx_verdict_of(logits[0], 6, 4, 1),
                                      fx_verdict_of(logits[1], 6, 5, 1) };
    struct fx_summary summary;
    struct fx_err err = { 0 };
    int64_t counts[36] = { 0 };

    (void)state;
    assert_int_equal(fx_summarise(verdicts, 2, &summary, &err), FX_OK);
    assert_near(summary.accuracy, 0, 0);
    assert_near(summary.top5, 50, 0);
    assert_near(summary.loss, (verdicts[0].loss + verdicts[1].loss) / 2, 1e-15);
    fx_confusion_add(verdicts, (const uint8_t[]){ 4, 5 }, 2, 6, counts);
    assert_int_equal(counts[4 * 6], 1);
    assert_int_equal(counts[5 * 6], 1);
    assert_int_equal(counts[0], 0);
}

static void test_disagreement(void **state)
{
    const struct fx_verdict a[4] = {
        { .predicted = 1 }, { .predicted = 2 }, { .predicted = 3 }, { .predicted = 4 }
    };
    const struct fx_verdict b[4] = {
        { .predicted = 1 }, { .predicted = 0 }, { .predicted = 3 }, { .predicted = 0 }
    };

    (void)state;
    assert_near(fx_disagreement(a, b, 4), 50, 0);
    assert_near(fx_disagreement(a, a, 4), 0, 0);
}

/* Two classes whose logits differ by 2, three images of four right: the odds 3 need ln 3 = 2 / T.
 */
static void test_temperature(void **state)
{
    const float logits[4][2] = { { 2, 0 }, { 2, 0 }, { 2, 0 }, { 2, 0 } };
    const uint8_t three_right[4] = { 0, 0, 0, 1 }, right[4] = { 0 }, even[4] = { 0, 1, 0, 1 };
    const float none[1][2] = { { NAN, 0 } };

    (void)state;
    assert_near(fx_temperature_fit(logits[0], three_right, 4, 2), 2 / log(3), 1e-9);
    assert_near(fx_temperature_fit(logits[0], right, 4, 2), FX_TEMPERATURE_MIN, 1e-3);
    assert_near(fx_temperature_fit(logits[0], even, 4, 2), FX_TEMPERATURE_MAX, 1e-3);
    assert_true(isnan(fx_temperature_fit(none[0], right, 1, 2)));
}

/* 400 images, 100 of them right: the mean's deviation is sqrt(1/4 3/4 / 400). */
static void test_bootstrap(void **state)
{
    enum { N = 400 };
    static double values[N][2];
    struct fx_interval intervals[2], again[2], other[2];
    struct fx_err err = { 0 };
    double half = 1.959964 * sqrt(0.25 * 0.75 / N);

    (void)state;
    for (int i = 0; i < N; i++) {
        values[i][0] = i % 4 == 0;
        values[i][1] = 7;
    }
    assert_int_equal(fx_bootstrap_means(values[0], 2, N, 4000, 1, intervals, &err), FX_OK);
    assert_near(intervals[0].low, 0.25 - half, 0.1 * half);
    assert_near(intervals[0].high, 0.25 + half, 0.1 * half);
    assert_near(intervals[1].low, 7, 0);
    assert_near(intervals[1].high, 7, 0);
    assert_int_equal(fx_bootstrap_means(values[0], 2, N, 4000, 1, again, &err), FX_OK);
    assert_memory_equal(intervals, again, sizeof intervals);
    assert_int_equal(fx_bootstrap_means(values[0], 2, N, 5, 2, other, &err), FX_OK);
    assert_true(other[0].low >= 0 && other[0].low <= other[0].high && other[0].high <= 1);
}

/* Sums of binomial coefficients: 2 (1 + 6) / 2^6, 2 (1 + 12 + 66) / 2^12. */
static void test_mcnemar(void **state)
{
    (void)state;
    assert_near(fx_mcnemar(0, 0), 1, 0);
    assert_near(fx_mcnemar(3, 3), 1, 0);
    assert_near(fx_mcnemar(1, 5), 14.0 / 64, 1e-12);
    assert_near(fx_mcnemar(10, 2), 158.0 / 4096, 1e-12);
    assert_near(fx_mcnemar(2, 10), fx_mcnemar(10, 2), 0);
}

/* Inside 3, 2, 1 and outside 2, 0: of the six pairs four are right and one is tied. */
static void test_separation(void **state)
{
    const double inside[3] = { 1, 3, 2 }, outside[2] = { 2, 0 };
    struct fx_separation separation;
    struct fx_err err = { 0 };

    (void)state;
    assert_int_equal(fx_separate(inside, 3, outside, 2, &separation, &err), FX_OK);
    assert_near(separation.auroc, 100 * 4.5 / 6, 1e-12);
    assert_near(separation.aupr_in, 100 * (1 + 2.0 / 3 + 3.0 / 4) / 3, 1e-12);
    assert_near(separation.aupr_out, 100 * (1 + 2.0 / 4) / 2, 1e-12);
    assert_near(separation.fpr95, 50, 1e-12);
    assert_int_equal(fx_separate((double[]){ NAN }, 1, outside, 1, &separation, &err), FX_OK);
    assert_near(separation.auroc, 0, 0);
}

/* Two heads that are sure of different classes differ by ln 2; equal ones by nothing. */
static void test_divergence(void **state)
{
    const float left[2] = { 100, 0 }, right[2] = { 0, 100 };
    double sum[2] = { 0 }, same[2] = { 0 };

    (void)state;
    assert_near(fx_divergence_add(sum, left, 2, 2, false) +
                    fx_divergence_add(sum, right, 2, 2, true),
                log(2), 1e-12);
    assert_near(fx_divergence_add(same, left, 2, 2, false) +
                    fx_divergence_add(same, left, 2, 2, true),
                0, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdict),      cmocka_unit_test(test_verdict_of_what_is_no_number),
        cmocka_unit_test(test_equal_mass),   cmocka_unit_test(test_summary),
        cmocka_unit_test(test_disagreement), cmocka_unit_test(test_temperature),
        cmocka_unit_test(test_bootstrap),    cmocka_unit_test(test_mcnemar),
        cmocka_unit_test(test_separation),   cmocka_unit_test(test_divergence),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
