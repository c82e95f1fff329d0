/* The plan of a run against the machine: what cannot fit anywhere is refused, what is small is not,
 * and the limit that decides is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "run/memory.h"

static const size_t gib = (size_t)1 << 30;

static void test_the_total_counts_every_part(void **state)
{
    const struct fx_memory_plan plan = {
        .model = { .parameters = 1,
                   .gradients = 20,
                   .optimizer = 300,
                   .activations = 4000,
                   .workspace = 50000 },
        .batches = 600000,
        .experts = 7000000,
    };

    (void)state;
    assert_int_equal(fx_memory_plan_total(&plan), 7654321);
}

/* Each part alone is more than any machine has. */
static void test_what_fits_nowhere_is_refused_with_the_numbers(void **state)
{
    const struct fx_memory_plan plans[] = { { .model.parameters = gib << 20 },
                                            { .model.activations = gib << 20 },
                                            { .batches = gib << 20 },
                                            { .experts = gib << 20 } };
    const char *limit;

    (void)state;
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        struct fx_err err = { 0 };
        assert_int_equal(fx_memory_check(&plans[i], 128, &err), FX_EFAIL);
        fx_memory_available(&limit);
        assert_non_null(strstr(err.msg, "memory: the run needs 1048576.00 GiB and "));
        assert_non_null(strstr(err.msg, limit));
        assert_non_null(strstr(err.msg, ": reduce --batch (now 128)"));
    }
}

/* A model in a device's own memory is held against that, and only the rest against the host's. */
static void test_a_device_with_memory_of_its_own_is_asked(void **state)
{
    struct fx_memory_plan plan = {
        .model.activations = 2 * gib, .images = gib, .on_device = true, .device_left = 3 * gib
    };
    struct fx_err err = { 0 };

    (void)state;
    assert_int_equal(fx_memory_check(&plan, 128, &err), FX_OK);
    plan.device_left -= 1;
    assert_int_equal(fx_memory_check(&plan, 128, &err), FX_EFAIL);
    assert_non_null(strstr(err.msg, "the run needs 3.00 GiB and free memory of the device is "));
    plan.model.activations = plan.device_left = gib << 20;
    plan.images = 0;
    assert_int_equal(fx_memory_check(&plan, 128, &err), FX_OK);
    plan.batches = gib << 20;
    assert_int_equal(fx_memory_check(&plan, 128, &err), FX_EFAIL);
}

static void test_what_is_small_fits(void **state)
{
    const struct fx_memory_plan plan = { .model.parameters = 1 << 20 };
    struct fx_err err = { 0 };

    (void)state;
    assert_int_equal(fx_memory_check(&plan, 1, &err), FX_OK);
}

/* A limit below what is used already leaves nothing, whatever else is free. */
static void test_the_address_space_limit_counts(void **state)
{
    struct rlimit before, none;
    const char *limit = "";

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    none = (struct rlimit){ .rlim_cur = 1 << 20, .rlim_max = before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
    size_t left = fx_memory_available(&limit);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_int_equal(left, 0);
    assert_string_equal(limit, "the address space limit (ulimit -v)");
    assert_true(fx_memory_available(&limit) > 0);
}

static rlim_t pages_used(void)
{
    long pages = 0;
    FILE *in = fopen("/proc/self/statm", "r");

    assert_non_null(in);
    assert_int_equal(fscanf(in, "%ld", &pages), 1);
    fclose(in);
    return (rlim_t)pages;
}

/* The last 100 MiB of address space are for threads and for what libraries allocate. */
static void test_some_address_space_is_kept_back(void **state)
{
    struct rlimit before, near;
    const char *limit;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    near = before;
    near.rlim_cur = pages_used() * (rlim_t)sysconf(_SC_PAGESIZE) + (100 << 20);
    assert_int_equal(setrlimit(RLIMIT_AS, &near), 0);
    size_t left = fx_memory_available(&limit);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_int_equal(left, 0);
}

/* Where it is not enough for the threads either, nothing is planned. */
static void test_threads_need_address_space(void **state)
{
    struct rlimit before, near;
    struct fx_err err = { 0 };

    (void)state;
    assert_int_equal(fx_memory_check_threads(2, &err), FX_OK);
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    near = before;
    near.rlim_cur = pages_used() * (rlim_t)sysconf(_SC_PAGESIZE) + (200 << 20);
    assert_int_equal(setrlimit(RLIMIT_AS, &near), 0);
    enum fx_status one = fx_memory_check_threads(1, &err), two = fx_memory_check_threads(2, &err);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_int_equal(one, FX_OK);
    assert_int_equal(two, FX_EFAIL);
    assert_non_null(strstr(err.msg, "memory: 2 threads need 248 MiB before the run does and the "
                                    "address space limit (ulimit -v) leaves "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_total_counts_every_part),
        cmocka_unit_test(test_what_fits_nowhere_is_refused_with_the_numbers),
        cmocka_unit_test(test_a_device_with_memory_of_its_own_is_asked),
        cmocka_unit_test(test_what_is_small_fits),
        cmocka_unit_test(test_the_address_space_limit_counts),
        cmocka_unit_test(test_some_address_space_is_kept_back),
        cmocka_unit_test(test_threads_need_address_space),
    };

    fx_log_set("memory_check", FX_LOG_QUIET);
    return cmocka_run_group_tests_name("memory_check", tests, NULL, NULL);
}
