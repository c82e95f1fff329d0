/* Schedules against the values of PyTorch 1.13: CosineAnnealingLR and CosineAnnealingWarmRestarts,
 * lr printed after each step().  (fusion-train.bats compares more of them where PyTorch is.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "config/schedule.h"

static void assert_close(double value, double expected)
{
    if (fabs(value - expected) > 1e-14 * fabs(expected) + 1e-18)
        fail_msg("%.17g, expected %.17g", value, expected);
}

static void test_cosine(void **state)
{
    static const double expected[] = {
        1e-3,
        0.00097797543233281914,
        0.00091405764746872633,
        0.00081450336353161297,
        0.00068905764746872639,
        0.00055000000000000003,
        0.00041094235253127373,
        0.00028549663646838715,
        0.00018594235253127373,
        0.00012202456766718093,
        0.0001,
    };
    const struct fx_schedule schedule = {
        .kind = FX_SCHEDULE_COSINE, .epochs = 10, .lr = { 1e-5, 1e-3, 2e-3 }, .floor = 0.1
    };
    double lr[FX_N_GROUPS];

    (void)state;
    for (int64_t done = 0; done <= 10; done++) {
        fx_schedule_rates(&schedule, done, lr);
        assert_close(lr[FX_GROUP_FUSION], expected[done]);
        assert_close(lr[FX_GROUP_EXPERTS], expected[done] / 100);
        assert_close(lr[FX_GROUP_HEAD], expected[done] * 2);
    }
}

static void test_cosine_to_zero(void **state)
{
    const struct fx_schedule schedule = { .kind = FX_SCHEDULE_COSINE,
                                          .epochs = 250,
                                          .lr = { 0.1 } };
    double lr[FX_N_GROUPS];

    (void)state;
    fx_schedule_rates(&schedule, 0, lr);
    assert_true(lr[FX_GROUP_EXPERTS] == 0.1);
    fx_schedule_rates(&schedule, 26, lr);
    assert_close(lr[FX_GROUP_EXPERTS], 0.097354915249737203);
    fx_schedule_rates(&schedule, 250, lr);
    assert_true(lr[FX_GROUP_EXPERTS] == 0);
}

static void test_restarts(void **state)
{
    static const double expected[] = {
        9.1405764746872649e-06, 6.8905764746872636e-06, 4.1094235253127369e-06,
        1.8594235253127369e-06, 1.0000000000000001e-05, 9.7797543233281918e-06,
        9.1405764746872649e-06, 8.1450336353161297e-06, 6.8905764746872636e-06,
        5.4999999999999999e-06, 4.1094235253127369e-06, 2.8549663646838717e-06,
        1.8594235253127369e-06, 1.220245676671809e-06,  1.0000000000000001e-05,
        9.9445975326781206e-06, 9.7797543233281918e-06, 9.5095293588476565e-06,
        9.1405764746872649e-06, 8.6819805153394643e-06,
    };
    const struct fx_schedule schedule = {
        .kind = FX_SCHEDULE_RESTARTS, .epochs = 20, .lr = { 1e-5, 1e-3, 1e-3 }, .floor = 0.1
    };
    struct fx_schedule cosine = schedule;
    double lr[FX_N_GROUPS], others[FX_N_GROUPS];

    (void)state;
    cosine.kind = FX_SCHEDULE_COSINE;
    for (int64_t done = 1; done <= 20; done++) {
        fx_schedule_rates(&schedule, done, lr);
        fx_schedule_rates(&cosine, done, others);
        assert_close(lr[FX_GROUP_EXPERTS], expected[done - 1]);
        assert_true(lr[FX_GROUP_FUSION] == others[FX_GROUP_FUSION]);
        assert_true(lr[FX_GROUP_HEAD] == others[FX_GROUP_HEAD]);
    }
}

/* Three epochs: a quarter of them is none, so the first period is one epoch. */
static void test_restarts_of_short_runs(void **state)
{
    static const double expected[] = { 1e-05, 5.4999999999999999e-06, 1e-05,
                                       8.6819805153394643e-06 };
    const struct fx_schedule schedule = {
        .kind = FX_SCHEDULE_RESTARTS, .epochs = 3, .lr = { 1e-5 }, .floor = 0.1
    };
    double lr[FX_N_GROUPS];

    (void)state;
    for (int64_t done = 1; done <= 4; done++) {
        fx_schedule_rates(&schedule, done, lr);
        assert_close(lr[FX_GROUP_EXPERTS], expected[done - 1]);
    }
}

static void test_constant_and_names(void **state)
{
    const struct fx_schedule schedule = {
        .kind = FX_SCHEDULE_CONSTANT, .epochs = 3, .lr = { 1e-5, 2e-3, 3e-3 }, .floor = 0.1
    };
    double lr[FX_N_GROUPS];

    (void)state;
    fx_schedule_rates(&schedule, 1000, lr);
    assert_true(lr[FX_GROUP_EXPERTS] == 1e-5 && lr[FX_GROUP_HEAD] == 3e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cosine),
        cmocka_unit_test(test_cosine_to_zero),
        cmocka_unit_test(test_restarts),
        cmocka_unit_test(test_restarts_of_short_runs),
        cmocka_unit_test(test_constant_and_names),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
