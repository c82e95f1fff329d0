/* Tensor sets, conversions to f32, .npy files and JSON Lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../fuzz/changing.h"
#include "base/jsonl.h"
#include "tensor/npy.h"
#include "tensor/tensor.h"

/* ---- sets -------------------------------------------------------------------------------------
 */

/* Many names in, some renamed, all found again and nothing else. */
static void test_index(void **state)
{
    enum { N = 3000 };
    struct fx_tensor_set set = { 0 };
    struct fx_err err = { 0 };
    char name[32];

    (void)state;
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "layer%d.weight", i);
        assert_int_equal(fx_tensor_set_add(&set, name, FX_F32, 1, (int64_t[]){ i }, NULL, &err),
                         FX_OK);
    }
    for (int i = 0; i < N; i += 3) {
        snprintf(name, sizeof name, "renamed%d", i);
        assert_int_equal(fx_tensor_set_rename(&set, (size_t)i, name, &err), FX_OK);
    }
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, i % 3 == 0 ? "renamed%d" : "layer%d.weight", i);
        const struct fx_tensor *found = fx_tensor_set_find(&set, name);
        assert_non_null(found);
        assert_int_equal(found->shape[0], i);
        snprintf(name, sizeof name, i % 3 == 0 ? "layer%d.weight" : "renamed%d", i);
        assert_null(fx_tensor_set_find(&set, name));
    }
    assert_int_equal(fx_tensor_set_rename(&set, 0, "renamed0", &err), FX_OK);
    assert_int_equal(fx_tensor_set_rename(&set, 0, "renamed3", &err), FX_EINPUT);
    assert_int_equal(fx_tensor_set_add(&set, "renamed3", FX_F32, 0, NULL, NULL, &err), FX_EINPUT);
    assert_string_equal(err.msg, "tensor 'renamed3': given twice");
    fx_tensor_set_fini(&set);
}

static void test_limits(void **state)
{
    struct fx_tensor_set set = { 0 };
    struct fx_err err = { 0 };
    const int64_t big[2] = { INT64_C(1) << 40, INT64_C(1) << 40 }, negative[1] = { -1 };
    const int64_t nine[FX_MAX_DIMS + 1] = { 0 };
    void *data;

    (void)state;
    assert_int_equal(fx_tensor_set_add(&set, "a", FX_U8, 2, big, NULL, &err), FX_EINPUT);
    assert_int_equal(fx_tensor_set_add(&set, "a", FX_U8, 1, negative, NULL, &err), FX_EINPUT);
    assert_int_equal(fx_tensor_set_add(&set, "a", FX_U8, 9, nine, NULL, &err), FX_EINPUT);
    assert_int_equal(set.n_tensors, 0);
    assert_int_equal(fx_tensor_set_alloc(&set, "a", FX_I16, 1, (int64_t[]){ 5 }, &data, &err),
                     FX_OK);
    assert_int_equal((uintptr_t)data % 64, 0);
    assert_int_equal(set.tensors[0].n_bytes, 10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(((uint8_t *)data)[i], 0);
    assert_int_equal(fx_tensor_set_put_meta(&set, "k", "1", &err), FX_OK);
    assert_int_equal(fx_tensor_set_put_meta(&set, "k", "2", &err), FX_OK);
    assert_string_equal(fx_tensor_set_meta(&set, "k"), "2");
    assert_int_equal(set.n_meta, 1);
    assert_null(fx_tensor_set_meta(&set, "none"));
    fx_tensor_set_fini(&set);
}

static void test_shape_text(void **state)
{
    char buf[32];

    (void)state;
    assert_string_equal(fx_shape_text(0, NULL, buf, sizeof buf), "()");
    assert_string_equal(fx_shape_text(1, (int64_t[]){ 7 }, buf, sizeof buf), "(7,)");
    assert_string_equal(fx_shape_text(2, (int64_t[]){ 64, 3 }, buf, sizeof buf), "(64, 3)");
    assert_string_equal(fx_shape_text(2, (int64_t[]){ 64, 3 }, buf, 5), "(64,");
}

/* ---- conversions ------------------------------------------------------------------------------
 */

static float convert(enum fx_dtype dtype, const void *value, bool *inexact)
{
    struct fx_err err = { 0 };
    float result;

    assert_int_equal(fx_convert_to_f32(dtype, value, 1, &result, inexact, &err), FX_OK);
    return result;
}

static void test_conversions(void **state)
{
    struct fx_err err = { 0 };
    float none;
    bool inexact;

    (void)state;
    assert_true(convert(FX_F64, &(double){ 0.1 }, &inexact) == 0.1f && inexact);
    assert_true(convert(FX_F64, &(double){ 0.5 }, &inexact) == 0.5f && !inexact);
    assert_true(isnan(convert(FX_F64, &(double){ NAN }, &inexact)) && !inexact);
    assert_true(convert(FX_BF16, &(uint16_t){ 0xc040 }, &inexact) == -3.0f && !inexact);
    assert_true(convert(FX_F16, &(uint16_t){ 0x3c01 }, &inexact) == 1.0f + 0x1p-10f);
    assert_true(convert(FX_F16, &(uint16_t){ 0x8001 }, &inexact) == -0x1p-24f);
    assert_true(convert(FX_F16, &(uint16_t){ 0x7bff }, &inexact) == 65504.0f);
    assert_true(convert(FX_F16, &(uint16_t){ 0xfc00 }, &inexact) == -INFINITY);
    assert_true(isnan(convert(FX_F16, &(uint16_t){ 0x7c01 }, &inexact)));
    assert_true(convert(FX_I64, &(int64_t){ -16777216 }, &inexact) == -16777216.0f && !inexact);
    assert_true(convert(FX_I64, &(int64_t){ 16777217 }, &inexact) == 16777216.0f && inexact);
    assert_true(convert(FX_I64, &(int64_t){ INT64_MAX }, &inexact) == 0x1p63f && inexact);
    assert_true(convert(FX_U64, &(uint64_t){ UINT64_MAX }, &inexact) == 0x1p64f && inexact);
    assert_true(convert(FX_I8, &(int8_t){ -128 }, &inexact) == -128.0f);
    assert_true(convert(FX_U16, &(uint16_t){ 65535 }, &inexact) == 65535.0f);
    assert_true(convert(FX_BOOL, &(uint8_t){ 1 }, &inexact) == 1.0f && !inexact);
    assert_int_equal(fx_convert_to_f32(FX_C64, NULL, 0, &none, &inexact, &err), FX_EINPUT);
}

static size_t count(enum fx_dtype dtype, size_t n, const void *values)
{
    return fx_tensor_count_nonfinite(&(struct fx_tensor){
        .dtype = dtype, .n_bytes = n * fx_dtype_bytes(dtype), .data = values });
}

static void test_values_that_are_not_finite_are_counted(void **state)
{
    (void)state;
    assert_int_equal(count(FX_F32, 4, (float[]){ 1, NAN, -INFINITY, 3e38f }), 2);
    assert_int_equal(count(FX_F64, 4, (double[]){ 1, NAN, 1e39, -INFINITY }), 3);
    assert_int_equal(count(FX_F16, 3, (uint16_t[]){ 0x7bff, 0x7c00, 0xfc01 }), 2);
    assert_int_equal(count(FX_BF16, 3, (uint16_t[]){ 0x7f7f, 0x7f80, 0xffc0 }), 2);
    assert_int_equal(count(FX_I64, 1, (int64_t[]){ -1 }), 0);
    assert_int_equal(count(FX_F32, 0, NULL), 0);
}

/* ---- npy --------------------------------------------------------------------------------------
 */

static char path[] = "/tmp/fx-unit-XXXXXX";

/* Writes a version 1.0 file with this header text and these bytes. */
static void write_npy(const char *header, const void *data, size_t n)
{
    strcpy(path, "/tmp/fx-unit-XXXXXX");
    FILE *file = fdopen(mkstemp(path), "wb");

    assert_non_null(file);
    fwrite("\x93NUMPY\x01\x00", 1, 8, file);
    fputc((int)strlen(header) & 255, file);
    fputc((int)strlen(header) >> 8, file);
    fputs(header, file);
    fwrite(data, 1, n, file);
    fclose(file);
}

static void test_npy_good(void **state)
{
    static const struct {
        const char *header;
        uint8_t data[16];
        size_t n_data, n;
        int64_t first;
    } cases[] = {
        { "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }   \n", { 5 }, 8, 1, 5 },
        { "{'descr': '<i8', 'fortran_order': False, 'shape': (0,), }\n", { 0 }, 0, 0, 0 },
        { "{'shape': (2L,),\"descr\":\">i4\",'fortran_order':True}", { 0, 0, 1, 2 }, 8, 2, 258 },
        { "{'descr': '<i2', 'fortran_order': False, 'shape': (1,)}", { 0xfe, 0xff }, 2, 1, -2 },
        { "{'descr': '|u1', 'fortran_order': False, 'shape': (3,)}", { 200 }, 3, 3, 200 },
        { "{'descr': '=u4', 'fortran_order': False, 'shape': (1,)}",
          { 0, 0, 0, 0x80 },
          4,
          1,
          0x80000000 },
        { "{'descr': '>u8', 'fortran_order': False, 'shape': (1,)}",
          { 0, 0, 0, 0, 0, 0, 1, 1 },
          8,
          1,
          257 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fx_err err = { 0 };
        int64_t *values;
        size_t n;
        write_npy(cases[i].header, cases[i].data, cases[i].n_data);
        if (fx_npy_read_indices(path, &values, &n, &err) != FX_OK)
            fail_msg("%s: %s", cases[i].header, err.msg);
        assert_int_equal(n, cases[i].n);
        if (n > 0)
            assert_int_equal(values[0], cases[i].first);
        free(values);
        unlink(path);
    }
}

static void test_npy_bad(void **state)
{
    static const struct {
        const char *header;
        size_t n_data;
        const char *why;
    } cases[] = {
        { "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }", 15, "cut off" },
        { "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }", 9, "goes on" },
        { "{'descr': '<i8', 'fortran_order': False, 'shape': (1,1), }", 8, "one-dimensional" },
        { "{'descr': '<i8', 'fortran_order': False, 'shape': (), }", 8, "one-dimensional" },
        { "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", 8, "integers" },
        { "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 8, "integers" },
        { "{'descr': '|b1', 'fortran_order': False, 'shape': (1,), }", 1, "integers" },
        { "{'descr': [('a', '<i8')], 'fortran_order': False, 'shape': (1,), }", 8, "integers" },
        { "{'descr': '<i8', 'shape': (1,), }", 8, "integers" },
        { "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), 'x': 1}", 8, "integers" },
        { "{'descr': '<i8', 'descr': '<i8', 'fortran_order': False, 'shape': (1,)}", 8,
          "integers" },
        { "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), } x", 8, "integers" },
        { "{'descr': '<i8', 'fortran_order': False, 'shape': (-1,), }", 8, "integers" },
        { "{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999999999999,), }", 8,
          "integers" },
        { "{'descr': '<i8', 'fortran_order': False, 'shape': (4611686018427387904,), }", 8,
          "overflows" },
        { "{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,), }", 8, "cut off" },
        { "{'descr': '<u8', 'fortran_order': False, 'shape': (1,), }", 8, "beyond 2^63" },
        { "", 0, "one-dimensional" },
    };
    static const uint8_t ones[16] = { 255, 255, 255, 255, 255, 255, 255, 255 };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fx_err err = { 0 };
        int64_t *values;
        size_t n;
        write_npy(cases[i].header, ones, cases[i].n_data);
        if (fx_npy_read_indices(path, &values, &n, &err) != FX_EINPUT)
            fail_msg("%s: taken", cases[i].header);
        if (strstr(err.msg, cases[i].why) == NULL || strstr(err.msg, path) != err.msg)
            fail_msg("%s: '%s' lacks '%s'", cases[i].header, err.msg, cases[i].why);
        assert_null(values);
        unlink(path);
    }
}

#if FX_CAN_CHANGE
static void make_three_bytes_wide(uint8_t *bytes, size_t n, uint8_t *read)
{
    char *letters = memmem(bytes, n, "<i1", 3);

    (void)read;
    if (letters)
        letters[2] = '3';
}

/* Nine bytes are no three elements of '<i1', nor is there a '<i3', whenever one becomes the other.
 */
static void test_npy_that_changes(void **state)
{
    static const char file[] = "\x93NUMPY\x01\x00\x34\x00"
                               "{'descr':'<i1','fortran_order':False,'shape':(3,), }"
                               "abcdefghi";
    enum fx_status status;
    long last = 0;

    (void)state;
    do {
        struct fx_err err = { 0 };
        int64_t *values;
        size_t n;
        const uint8_t *bytes =
            changing_begin((const uint8_t *)file, sizeof file - 1, ++last, make_three_bytes_wide);
        status = fx_npy_view_indices(bytes, sizeof file - 1, "test", &values, &n, &err);
        free(values);
        assert_int_equal(status, FX_EINPUT);
    } while (changing_end() == last);
    assert_true(last > 50);
}
#else
static void test_npy_that_changes(void **state)
{
    (void)state;
    skip();
}
#endif

static void test_npy_round_trip(void **state)
{
    static const int64_t written[3] = { 0, 49999, 7 };
    struct fx_err err = { 0 };
    int64_t *values;
    size_t n;

    (void)state;
    strcpy(path, "/tmp/fx-unit-XXXXXX");
    close(mkstemp(path));
    assert_int_equal(fx_npy_write_indices(path, written, 3, &err), FX_OK);
    FILE *file = fopen(path, "rb");
    char head[11] = { 0 };
    assert_int_equal(fread(head, 1, 10, file), 10);
    assert_memory_equal(head, "\x93NUMPY\x01\x00\x76\x00", 10);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    assert_int_equal(ftell(file), 128 + 24);
    fclose(file);
    assert_int_equal(fx_npy_read_indices(path, &values, &n, &err), FX_OK);
    assert_int_equal(n, 3);
    assert_memory_equal(values, written, sizeof written);
    free(values);
    unlink(path);
}

/* ---- JSON Lines -------------------------------------------------------------------------------
 */

static void test_json_line(void **state)
{
    json_t *object = json_pack("{s:s, s:i, s:f, s:f, s:f}", "event", "epoch", "epoch", 3, "rate",
                               0.0001, "loss", 1.0 / 3.0, "whole", 2.0);
    char *line = fx_json_line(object);

    (void)state;
    assert_string_equal(line, "{\"event\":\"epoch\",\"epoch\":3,\"rate\":0.0001,"
                              "\"loss\":0.3333333333,\"whole\":2.0}\n");
    free(line);
    json_decref(object);
}

static void test_json_reader(void **state)
{
    static const struct {
        const char *text;
        int n_good;
        const char *why; /* NULL: ends well */
    } cases[] = {
        { "", 0, NULL },
        { "{\"a\":1}\n{}\n", 2, NULL },
        { "{}\n{\"a\":1", 1, "stdin: line 2: cut off before its end" },
        { "{}\n[]\n", 1, "stdin: line 2: not a JSON object" },
        { "{}\n{\"a\":1,\"a\":2}\n", 1, "stdin: line 2: duplicate object key near" },
        { "{}\n\n{}\n", 1, "stdin: line 2: " },
        { "nonsense\n", 0, "stdin: line 1: " },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        FILE *in = fmemopen((void *)cases[i].text,
                            strlen(cases[i].text) + (cases[i].text[0] == '\0'), "r");
        struct fx_json_reader reader = { .in = in, .name = "stdin" };
        struct fx_err err = { 0 };
        enum fx_status status;
        json_t *object;
        int n_good = 0;
        if (cases[i].text[0] == '\0')
            fgetc(in);
        while ((status = fx_json_line_read(&reader, &object, &err)) == FX_OK && object != NULL) {
            json_decref(object);
            n_good++;
        }
        assert_int_equal(n_good, cases[i].n_good);
        assert_int_equal(status, cases[i].why == NULL ? FX_OK : FX_EINPUT);
        if (cases[i].why != NULL && strncmp(err.msg, cases[i].why, strlen(cases[i].why)) != 0)
            fail_msg("'%s' is not '%s'", err.msg, cases[i].why);
        fx_json_reader_fini(&reader);
        fclose(in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_shape_text),
        cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_values_that_are_not_finite_are_counted),
        cmocka_unit_test(test_npy_good),
        cmocka_unit_test(test_npy_bad),
        cmocka_unit_test(test_npy_that_changes),
        cmocka_unit_test(test_npy_round_trip),
        cmocka_unit_test(test_json_line),
        cmocka_unit_test(test_json_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
