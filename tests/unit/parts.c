/* Into how many parts the gradients of 1x1 layers' weights are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "backend/cuda/parts.h"

enum { H200 = 132, LANES = 4 };

/* The device is filled once at most, and half of it at least where pixels and parts suffice. */
static void parts_fill_the_device(void **state)
{
    (void)state;
    for (int processors = 8; processors <= 160; processors += 19)
        for (int m = 8; m <= 1024; m += 40)
            for (int n = 8; n <= 1024; n += 40) {
                int rows = 1 << 17, tiles = fx_count_tiles(m, n, LANES);
                int parts = fx_count_parts(m, n, rows, LANES, processors);

                assert_true(parts == 1 || parts * tiles <= processors);
                assert_true(parts == FX_PARTS_MOST || 2 * parts * tiles > processors);
                assert_int_equal(parts & (parts - 1), 0);
            }
}

static void parts_are_equal_and_long(void **state)
{
    (void)state;
    assert_int_equal(fx_count_parts(128, 256, 128 * 1024, LANES, H200), 16);
    assert_int_equal(fx_count_parts(128, 256, 128 * 64, LANES, H200), 8);
    assert_int_equal(fx_count_parts(128, 256, 128 * 16, LANES, H200), 2);
    assert_int_equal(fx_count_parts(128, 256, 3 * 1024, LANES, H200), 2);
    assert_int_equal(fx_count_parts(128, 256, 3 * 1024 + 1, LANES, H200), 1);
    assert_int_equal(fx_count_parts(128, 256, 1024, LANES, H200), 1);
    assert_int_equal(fx_count_parts(2048, 1024, 128 * 64, LANES, H200), 1);
    assert_int_equal(fx_count_parts(16, 16, 1 << 20, 1, H200), FX_PARTS_MOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(parts_fill_the_device),
                                        cmocka_unit_test(parts_are_equal_and_long) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
