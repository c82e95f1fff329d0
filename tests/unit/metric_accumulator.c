/* Counting: cross-entropy, accuracy and calibration of hand-made logits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>

#include "run/metric_accumulator_internal.h"

static void assert_near(double value, double expected, double within)
{
    if (!(fabs(value - expected) <= within))
        fail_msg("%.12g, expected %.12g", value, expected);
}

static void test_loss_and_accuracy(void **state)
{
    /* softmax (1/2, 1/4, 1/4) and (1/3, 1/3, 1/3): losses ln 4 and ln 3. */
    const float first[3] = { logf(2), 0, 0 }, second[3] = { 5, 5, 5 };
    struct fx_metric_accumulator sums = { 0 };

    (void)state;
    fx_metric_add(&sums, first, 3, 2);
    fx_metric_add(&sums, second, 3, 0);
    assert_near(fx_metric_loss(&sums), (log(4) + log(3)) / 2, 1e-7);
    assert_near(fx_metric_accuracy(&sums), 50, 0); /* of equals the first counts */
}

static void test_large_logits_do_not_overflow(void **state)
{
    const float logits[3] = { FLT_MAX / 2, 0, -FLT_MAX / 2 };
    struct fx_metric_accumulator sums = { 0 };

    (void)state;
    fx_metric_add(&sums, logits, 3, 0);
    assert_near(fx_metric_loss(&sums), 0, 0);
    fx_metric_add(&sums, logits, 3, 1);
    assert_true(isfinite(fx_metric_loss(&sums)));
}

static void test_not_a_number_shows_in_the_loss(void **state)
{
    const float logits[3] = { NAN, NAN, NAN };
    struct fx_metric_accumulator sums = { 0 };

    (void)state;
    fx_metric_add(&sums, logits, 3, 1);
    assert_true(isnan(fx_metric_loss(&sums)));
}

/* Four images at confidence 0.8, three right; two at 0.5, none right: the bins of 0.8 and 0.5 are
 * off by 0.05 and 0.5, so the error is 4/6 * 5 % + 2/6 * 50 %. */
static void test_calibration(void **state)
{
    const float sure[2] = { logf(4), 0 }, even[2] = { 0, 0 };
    struct fx_metric_accumulator sums = { 0 };

    (void)state;
    for (int i = 0; i < 4; i++)
        fx_metric_add(&sums, sure, 2, i == 0);
    fx_metric_add(&sums, even, 2, 1);
    fx_metric_add(&sums, even, 2, 1);
    assert_near(fx_metric_ece(&sums), 100 * (4 * 0.05 + 2 * 0.5) / 6, 1e-5);
}

/* Within a bin, errors of opposite sign cancel: that is the definition. */
static void test_calibration_is_per_bin(void **state)
{
    const float even[2] = { 0, 0 };
    struct fx_metric_accumulator sums = { 0 };

    (void)state;
    fx_metric_add(&sums, even, 2, 0);
    fx_metric_add(&sums, even, 2, 1);
    assert_near(fx_metric_ece(&sums), 0, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss_and_accuracy),
        cmocka_unit_test(test_large_logits_do_not_overflow),
        cmocka_unit_test(test_not_a_number_shows_in_the_loss),
        cmocka_unit_test(test_calibration),
        cmocka_unit_test(test_calibration_is_per_bin),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
