/* NumPy in pickles: every spelling of arrays and scalars, and what is none. */
#include "../fuzz/changing.h"
#include "archive/pickle_numpy_internal.h"
#include "archive/unpickle_internal.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A literal without its terminator: pickles hold NULs. */
#define P(literal) (const uint8_t *)(literal), sizeof(literal) - 1
#define DTYPE(letters, order)                                                                      \
    "cnumpy\ndtype\n(U\x02" letters "K\x00K\x01tR(K\x03U\x01" order                                \
    "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"

static const struct {
    const uint8_t *bytes;
    size_t n;
    const char *means; /* kind, size, shape, then the elements; or the end of the message */
} arrays[] = {
    { P("\x80\x02"
        "cnumpy.core.multiarray\nscalar\n" DTYPE("f8", "<") "U\x08\x00\x00\x00\x00\x00\x00\x0c\x40"
                                                            "\x86R."),
      "f8 () 3.5" },
    { P("\x80\x02"
        "cnumpy._core.multiarray\nscalar\n" DTYPE("f4", ">") "U\x04\x40\x60\x00\x00\x86R."),
      "f4 () 3.5" },
    { P("\x80\x02"
        "cnumpy.core.multiarray\nscalar\n" DTYPE("f2", "<") "U\x02\x00\xc2\x86R."),
      "f2 () -3" },
    { P("\x80\x02"
        "cnumpy.core.multiarray\nscalar\n" DTYPE("i2", "<") "U\x02\xfe\xff\x86R."),
      "i2 () -2" },
    { P("\x80\x02"
        "cnumpy.core.multiarray\nscalar\n" DTYPE("b1", "|") "U\x01\x01\x86R."),
      "b1 () 1" },
    { P("\x80\x02"
        "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01"
        "b\x87R(K\x01K\x02K\x02\x86" DTYPE("u1", "|") "\x89U\x04\x01\x02\x03\xfftb."),
      "u1 (2,2) 1 2 3 255" },
    { P("\x80\x02"
        "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01"
        "b\x87R(K\x01K\x01K\x02\x86" DTYPE("i4",
                                           ">") "\x88U\x08\xff\xff\xff\xff\x00\x00\x00\x02tb."),
      "i4 (1,2) fortran -1 2" },
    { P("\x80\x05"
        "cnumpy.core.numeric\n_frombuffer\n(\x96\x02\x00\x00\x00\x00\x00\x00\x00\x05\x06" DTYPE(
            "u1", "|") "K\x02\x85U\x01"
                       "CtR."),
      "u1 (2) 5 6" },
    { P("\x80\x02N."), "is None, not a NumPy array" },
    { P("\x80\x02"
        "cnumpy.core.multiarray\nscalar\n" DTYPE("O8", "|") "U\x08\x00\x00\x00\x00\x00\x00\x00\x00"
                                                            "\x86R."),
      "elements are no plain numbers" },
    { P("\x80\x02"
        "cnumpy.core.multiarray\nscalar\n" DTYPE("f8", "<") "U\x02\x00\x00\x86R."),
      "array of 1 elements of 8 bytes has 2 bytes" },
    { P("\x80\x02"
        "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01"
        "b\x87R(K\x01\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x40\x8a\x08\x00\x00\x00\x00\x00\x00\x00"
        "\x40\x86" DTYPE("u1", "|") "\x89U\x00tb."),
      "impossible shape" },
    { P("\x80\x02"
        "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01"
        "b\x87R(K\x01J\xff\xff\xff\xff\x85" DTYPE("u1", "|") "\x89U\x00tb."),
      "impossible shape" },
};

/* "u1 (2,2) 1 2 3 255" */
static void describe(const struct fx_pickle_array *array, char *text, size_t n)
{
    size_t at = (size_t)snprintf(text, n, "%c%d (", array->kind, array->item_bytes);

    for (int d = 0; d < array->n_dims; d++)
        at += (size_t)snprintf(text + at, n - at, "%s%" PRId64, d > 0 ? "," : "", array->shape[d]);
    at += (size_t)snprintf(text + at, n - at, ")%s", array->is_fortran ? " fortran" : "");
    for (size_t k = 0; k < array->n_items; k++)
        at += (size_t)snprintf(text + at, n - at, " %g", fx_pickle_array_real(array, k));
    assert_true(at < n);
}

static void test_numpy(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        struct fx_pickle pickle;
        struct fx_pickle_array array;
        struct fx_err err = { 0 };
        char text[256];
        if (fx_unpickle(&pickle, arrays[i].bytes, arrays[i].n, NULL, "test", &err) != FX_OK)
            fail_msg("%s: %s", arrays[i].means, err.msg);
        if (fx_pickle_array_view(pickle.root, &array, "x", &err) != FX_OK) {
            if (strstr(err.msg, arrays[i].means) == NULL)
                fail_msg("expected '%s', said '%s'", arrays[i].means, err.msg);
        } else {
            describe(&array, text, sizeof text);
            assert_string_equal(text, arrays[i].means);
        }
        fx_pickle_fini(&pickle);
    }
}

#if FX_CAN_CHANGE
static void make_three_bytes_wide(uint8_t *bytes, size_t n, uint8_t *read)
{
    char *letters = memmem(bytes, n, "u1", 2);

    (void)read;
    if (letters)
        letters[1] = '3';
}

/* Three bytes are no u1, nor is there a u3, whenever one becomes the other. */
static void test_an_array_that_changes(void **state)
{
    static const char file[] = "\x80\x02"
                               "cnumpy.core.multiarray\nscalar\n" DTYPE("u1", "|") "U\x03"
                                                                                   "abc\x86R.";
    enum fx_status status;
    long last = 0;

    (void)state;
    do {
        struct fx_pickle pickle;
        struct fx_pickle_array array;
        struct fx_err err = { 0 };
        const uint8_t *bytes =
            changing_begin((const uint8_t *)file, sizeof file - 1, ++last, make_three_bytes_wide);
        status = fx_unpickle(&pickle, bytes, sizeof file - 1, NULL, "test", &err);
        if (status == FX_OK)
            status = fx_pickle_array_view(pickle.root, &array, "x", &err);
        assert_int_equal(status, FX_EINPUT);
        fx_pickle_fini(&pickle);
    } while (changing_end() == last);
    assert_true(last > 50);
}
#else
static void test_an_array_that_changes(void **state)
{
    (void)state;
    skip();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_numpy),
                                        cmocka_unit_test(test_an_array_that_changes) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
