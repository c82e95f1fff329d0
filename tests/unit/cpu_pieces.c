/* The pieces of the cpu back end that need no network: packing and unpacking are inverse, threads
 * are split as documented. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "backend/cpu/cpu_internal.h"

static void weights_survive_packing(void **state)
{
    static const struct {
        int c_in, c_out, groups, kernel;
    } cases[] = { { 3, 16, 1, 3 },  { 16, 16, 1, 1 }, { 20, 33, 1, 3 }, { 32, 64, 2, 3 },
                  { 24, 24, 3, 3 }, { 32, 32, 8, 3 }, { 10, 20, 5, 1 } };

    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int block = 8; block <= 16; block += 8) {
            struct fx_node conv = { .kernel = cases[k].kernel,
                                    .groups = cases[k].groups,
                                    .shape = { .c = cases[k].c_out } };
            struct fx_weight_layout l = fx_weight_layout_of(&conv, cases[k].c_in, block);
            size_t n = (size_t)(cases[k].c_in / cases[k].groups * cases[k].c_out * cases[k].kernel *
                                cases[k].kernel);
            size_t n_packed = fx_weight_floats(&l), n_zeros = 0;
            float *plain = malloc(n * sizeof *plain), *again = malloc(n * sizeof *again);
            float *packed = malloc(n_packed * sizeof *packed);

            assert_true(plain && again && packed);
            assert_true(l.in % block == 0 && l.out % block == 0 && n_packed >= n);
            for (size_t i = 0; i < n; i++)
                plain[i] = (float)(i + 1);
            fx_weight_pack(&l, plain, packed);
            fx_weight_clear_rest(&l, packed); /* touches no weight */
            fx_weight_unpack(&l, packed, again);
            assert_memory_equal(plain, again, n * sizeof *plain);
            for (size_t i = 0; i < n_packed; i++)
                n_zeros += packed[i] == 0;
            assert_int_equal(n_zeros, n_packed - n);
            free(plain);
            free(again);
            free(packed);
        }
}

/* Whatever stands between merged groups is cleared, and nothing else. */
static void the_rest_is_cleared(void **state)
{
    struct fx_node conv = { .kernel = 1, .groups = 4, .shape = { .c = 32 } };
    struct fx_weight_layout l = fx_weight_layout_of(&conv, 32, 16); /* 8 channels a group */
    size_t n = fx_weight_floats(&l), n_zeros = 0;
    float *packed = malloc(n * sizeof *packed);

    (void)state;
    assert_non_null(packed);
    assert_int_equal(l.merged, 2);
    for (size_t i = 0; i < n; i++)
        packed[i] = 1;
    fx_weight_clear_rest(&l, packed);
    for (size_t i = 0; i < n; i++)
        n_zeros += packed[i] == 0;
    assert_int_equal(n_zeros, n / 2);
    free(packed);
}

static void threads_are_shared_out(void **state)
{
    static const struct {
        int lanes, threads, workers, each;
    } cases[] = { { 4, 1, 1, 1 }, { 4, 2, 2, 1 }, { 4, 4, 4, 1 },  { 4, 8, 4, 2 },
                  { 4, 6, 2, 3 }, { 1, 2, 1, 2 }, { 4, 16, 4, 4 }, { 3, 2, 1, 2 } };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fx_worker_share share = fx_worker_share_of(cases[i].lanes, cases[i].threads);

        assert_int_equal(share.n_workers, cases[i].workers);
        assert_int_equal(share.n_threads, cases[i].each);
    }
}

/* Every worker runs once, the lowest failure is reported, and the workers go on. */
static enum fx_status fail_from_second(void *ctx, int number, struct fx_err *err)
{
    ((int *)ctx)[number]++;
    return number == 0 ? FX_OK : fx_fail(err, FX_EFAIL, "worker %d", number);
}

static void the_workers_report_the_lowest_failure(void **state)
{
    struct fx_workers *workers;
    struct fx_err err = { 0 };
    int runs[4] = { 0 };

    (void)state;
    assert_int_equal(fx_workers_create(&workers, 4, 1, &err), FX_OK);
    for (int round = 1; round <= 50; round++) {
        assert_int_equal(fx_workers_run(workers, 3, fail_from_second, runs, &err), FX_EFAIL);
        assert_string_equal(err.msg, "worker 1");
        assert_int_equal(fx_workers_run(workers, 1, fail_from_second, runs, &err), FX_OK);
        for (int i = 0; i < 4; i++)
            assert_int_equal(runs[i], i == 0 ? 2 * round : i < 3 ? round : 0);
    }
    fx_workers_destroy(workers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_survive_packing),
        cmocka_unit_test(the_rest_is_cleared),
        cmocka_unit_test(threads_are_shared_out),
        cmocka_unit_test(the_workers_report_the_lowest_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
