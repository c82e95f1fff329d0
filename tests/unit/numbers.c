/* Numbers as people write them: the shortest text that reads back, and products of decimals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <stdlib.h>

#include "base/number.h"

static void assert_text(double value, const char *text)
{
    char buf[FX_NUMBER_BYTES];

    assert_string_equal(fx_number_text(value, buf, sizeof buf), text);
}

static void test_short_and_exact(void **state)
{
    char buf[FX_NUMBER_BYTES];

    (void)state;
    assert_text(1, "1");
    assert_text(0.1, "0.1");
    assert_text(1e-05, "1e-05");
    assert_text(0.1 + 0.2, "0.30000000000000004");
    assert_text(1.0 / 3, "0.3333333333333333");
    fx_number_text(-DBL_MIN, buf, sizeof buf);
    assert_true(strtod(buf, NULL) == -DBL_MIN);
    assert_string_equal(fx_number_text_f32(0.1f, buf, sizeof buf), "0.1");
    assert_string_equal(fx_number_text_f32((float)16777217, buf, sizeof buf), "16777216");
}

static void test_products_of_decimals(void **state)
{
    double given = 0.12345678901234566;

    (void)state;
    assert_true(2e-5 * 0.2 != 4e-6);
    assert_true(fx_number_times(2e-5, 0.2) == 4e-6);
    assert_true(fx_number_times(fx_number_times(1e-4, 1.3), 1.1) == 1.43e-4);
    assert_true(fx_number_times(1e-4, 0) == 0);
    /* What was given is not touched. */
    assert_true(fx_number_times(given, 1) == given && fx_number_times(1, given) == given);
    assert_true(fx_number_round(given) != given);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_and_exact),
        cmocka_unit_test(test_products_of_decimals),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
