/* Which versions of cuDNN will do for which GPU: this program is the library, with one function. */
#include "backend/cuda/vendor/cudnn_plan.h"
#include "backend/cuda/vendor/vendor_load_internal.h"
#include "base/log.h"

#include <cudnn_graph.h>
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
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

static void test_a_library_much_older_than_the_program_is_refused(void **state)
{
    (void)state;
    assert_string_equal(said(CUDNN_VERSION, 90), "");
    assert_string_equal(said(CUDNN_VERSION / 100 * 100, 90), "");
    assert_string_equal(said(CUDNN_VERSION + 100, 90), "");
    assert_string_equal(said(CUDNN_VERSION - 100, 90), "");
    assert_non_null(strstr(said(CUDNN_VERSION - 200, 90), ", this program needs 9."));
    assert_non_null(strstr(said(90701, 90), "cuDNN: the library is 9.7.1, this program needs 9."));
}

/* What two looks at a library of this version say on stderr; owned by the caller. */
static char *warnings(const char *name, size_t found, size_t compiled)
{
    FILE *kept = tmpfile();
    int saved = dup(STDERR_FILENO);
    char *text = calloc(1, 1024);
    bool has_warned = false;
    struct fx_err err = { 0 };

    assert_true(kept != NULL && text != NULL && saved >= 0);
    fx_log_set("tool", FX_LOG_QUIET);
    dup2(fileno(kept), STDERR_FILENO);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fx_vendor_check_version(name, found, compiled, &has_warned, &err), FX_OK);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(kept);
    assert_true(fread(text, 1, 1023, kept) < 1023);
    fclose(kept);
    return text;
}

static void test_one_minor_version_older_is_said_once(void **state)
{
    struct fx_err err = { 0 };
    bool has_warned = false;
    char *text = warnings("cuBLASLt", 130002, 130101);

    (void)state;
    assert_string_equal(text, "tool: warning: cuBLASLt: the library is 13.0.2, and this program "
                              "was compiled with 13.1\n");
    free(text);
    text = warnings("cuBLASLt", 130100, 130101);
    assert_string_equal(text, "");
    free(text);
    assert_int_equal(fx_vendor_check_version("cuBLASLt", 120999, 130000, &has_warned, &err),
                     FX_EDEVICE);
    assert_string_equal(err.msg, "cuBLASLt: the library is 12.9.99, this program needs 13.0");
    assert_int_equal(fx_vendor_check_version("cuBLASLt", 129900, 130000, &has_warned, &err),
                     FX_EDEVICE); /* another major version, though no minor one lies between */
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
        cmocka_unit_test(test_a_library_much_older_than_the_program_is_refused),
        cmocka_unit_test(test_one_minor_version_older_is_said_once),
        cmocka_unit_test(test_volta_takes_a_library_that_knows_it),
    };

    return cmocka_run_group_tests_name("cudnn_versions", tests, NULL, NULL);
}
