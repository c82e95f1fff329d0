/* Devices by text: what exists, what this build lacks, what is no device at all. */
#include "backend/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
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

/* What auto takes where no GPU is shown: the fastest that the build has, with the reason. */
static void auto_finds_the_best_there_is(void **state)
{
    static const char *const texts[] = { "auto", "auto:0", "auto:7" };
    bool has_cpu = strstr(fx_backend_names(), "cpu") != NULL;
    bool has_cuda = strstr(fx_backend_names(), "cuda") != NULL;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct fx_choice choice;
        struct fx_err err = { 0 };

        assert_int_equal(fx_choose(&choice, texts[i], &err), FX_OK);
        assert_string_equal(choice.device, has_cpu ? "cpu" : "ref");
        assert_string_equal(choice.backend->name, choice.device);
        assert_int_equal(choice.ordinal, 0);
        assert_int_equal(strncmp(choice.why, has_cuda ? "this machine " : "this build has no CUDA ",
                                 has_cuda ? 13 : 23),
                         0);
        assert_int_equal(choice.warns, !has_cpu);
    }
}

static void what_is_named_is_not_replaced(void **state)
{
    struct fx_choice choice;
    struct fx_err err = { 0 };

    (void)state;
    assert_int_equal(fx_choose(&choice, "ref", &err), FX_OK);
    assert_string_equal(choice.device, "ref");
    assert_string_equal(choice.why, "");
    assert_int_equal(fx_choose(&choice, "cuda", &err), FX_EDEVICE);
    assert_int_equal(fx_choose(&choice, "cuda:auto:3", &err), FX_EDEVICE);
    assert_int_equal(strncmp(err.msg, "device cuda", 11), 0);
}

static void texts_of_no_choice_are_named_whole(void **state)
{
    static const char *const wrong[] = { "autos",       "auto:",    "auto:x",
                                         "auto:-1",     "auto:1x",  "cuda:auto:",
                                         "cuda:auto:x", "cpu:auto", "auto:99999999999999999999" };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct fx_choice choice;
        struct fx_err err = { 0 };

        assert_int_equal(fx_choose(&choice, wrong[i], &err), FX_EUSAGE);
        assert_non_null(strstr(err.msg, wrong[i]));
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
        cmocka_unit_test(auto_finds_the_best_there_is),
        cmocka_unit_test(what_is_named_is_not_replaced),
        cmocka_unit_test(texts_of_no_choice_are_named_whole),
    };

    /* No GPU, neither a real one nor the simulator's. */
    setenv("CUDA_VISIBLE_DEVICES", "-1", 1);
    setenv("CUDA_SIM_DEVICES", "0", 1);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
