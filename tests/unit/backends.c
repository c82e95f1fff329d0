/* Devices by text: what exists, what this build lacks, what is no device at all. */
#include "backend/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static enum fx_status find(const char *device, const struct fx_backend **backend, int *ordinal,
                           struct fx_err *err)
{
    struct fx_device_options options = { .ordinal = -1 };
    enum fx_status status = fx_backend_find(backend, device, &options, err);

    *ordinal = options.ordinal;
    return status;
}

static void ref_is_always_there(void **state)
{
    const struct fx_backend *backend = NULL;
    struct fx_err err = { 0 };
    int ordinal;

    (void)state;
    assert_int_equal(find("ref", &backend, &ordinal, &err), FX_OK);
    assert_string_equal(backend->name, "ref");
    assert_int_equal(ordinal, 0);
}

/* Every name is listed and found, or not listed and refused with the reason. */
static void the_list_is_true(void **state)
{
    static const char *const names[] = { "ref", "cpu", "cuda" };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct fx_backend *backend = NULL;
        struct fx_err err = { 0 };
        int ordinal;
        enum fx_status status = find(names[i], &backend, &ordinal, &err);

        if (strstr(fx_backend_names(), names[i])) {
            assert_int_equal(status, FX_OK);
            assert_string_equal(backend->name, names[i]);
        } else {
            assert_int_equal(status, FX_EDEVICE);
            assert_non_null(strstr(err.msg, "this build has no "));
        }
    }
}

static void other_texts_are_refused(void **state)
{
    static const char *const wrong[] = { "",       "gpu",     "ref:0",   "cpu:1",           "cuda:",
                                         "cuda:x", "cuda:-1", "cuda:1x", "cuda:99999999999" };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const struct fx_backend *backend = NULL;
        struct fx_err err = { 0 };
        int ordinal;

        assert_int_equal(find(wrong[i], &backend, &ordinal, &err), FX_EUSAGE);
        assert_non_null(strstr(err.msg, "unknown device"));
        assert_null(backend);
    }
}

static void ref_refuses_bf16(void **state)
{
    struct fx_device_options options = { .n_threads = 1, .precision = FX_PRECISION_BF16 };
    const struct fx_backend *backend = NULL;
    struct fx_device *device = NULL;
    struct fx_err err = { 0 };

    (void)state;
    assert_int_equal(fx_backend_find(&backend, "ref", &options, &err), FX_OK);
    assert_int_equal(backend->device_open(&device, &options, &err), FX_EDEVICE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ref_is_always_there),
        cmocka_unit_test(the_list_is_true),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(ref_refuses_bf16),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
