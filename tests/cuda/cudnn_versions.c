/* Which versions of cuDNN will do for which GPU: this program is the library, with one function. */
#include "backend/cuda/vendor/cudnn_plan.h"
#include "backend/cuda/vendor/vendor_load_internal.h"

#include <cudnn_graph.h>
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static size_t version;

size_t cudnnGetVersion(void)
{
    return version;
}

/* In place of lib/backend/cuda/vendor/vendor_load.c. */
enum fx_status fx_vendor_load(void **library, const char *file, const char *const *names, size_t n,
                              void **functions, struct fx_err *err)
{
    (void)library, (void)file, (void)err;
    for (size_t i = 0; i < n; i++)
        functions[i] = dlsym(RTLD_DEFAULT, names[i]);
    return FX_OK;
}

/* What is said of a version and a compute capability; "": it will do. */
static const char *said(size_t with, int capability)
{
    static struct fx_err err;

    err = (struct fx_err){ 0 };
    version = with;
    enum fx_status status = fx_cudnn_check(capability, &err);
    assert_int_equal(status, err.msg[0] != '\0' ? FX_EDEVICE : FX_OK);
    return err.msg;
}

static void test_a_library_older_than_9_8_is_refused(void **state)
{
    (void)state;
    assert_string_equal(said(CUDNN_VERSION, 90), "");
    assert_string_equal(said(CUDNN_VERSION + 100, 90), "");
    /* Older than the headers of this program, which asks nothing newer of it. */
    assert_string_equal(said(90800, 90), "");
    assert_string_equal(said(91300, 90), "");
    assert_non_null(strstr(said(90701, 90), "the cuDNN that was found is 9.7.1, this program needs "
                                            "9.8 or newer; the Python package nvidia-cudnn-cu"));
}

static void test_volta_takes_a_library_that_knows_it(void **state)
{
    size_t newer = CUDNN_VERSION > 91100 ? CUDNN_VERSION : 91100;

    (void)state;
    if (CUDNN_VERSION < 91100)
        assert_string_equal(said(91002, 70), "");
    assert_non_null(strstr(said(newer, 70), "; the last one for compute capability 7.0 is 9.10"));
    assert_non_null(strstr(said(newer, 72), "7.2 is 9.10"));
    assert_string_equal(said(newer, 75), "");
    assert_string_equal(said(newer, 80), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_library_older_than_9_8_is_refused),
        cmocka_unit_test(test_volta_takes_a_library_that_knows_it),
    };

    return cmocka_run_group_tests_name("cudnn_versions", tests, NULL, NULL);
}
