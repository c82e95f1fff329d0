/* safetensors: what the writer makes byte by byte, and what the reader must accept and refuse:
 * every rule of the format has a case that breaks only it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tensor/safetensors.h"

/* ---- bytes from JSON --------------------------------------------------------------------------
 */

/* A file with this header and n_data bytes 0, 1, 2 ... behind it; malloc'ed. */
static uint8_t *make_file(const char *json, size_t n_data, size_t *n)
{
    size_t n_json = strlen(json);
    uint8_t *bytes = calloc(1, 8 + n_json + n_data + 1);

    assert_non_null(bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)n_json >> (8 * i));
    memcpy(bytes + 8, json, n_json);
    for (size_t i = 0; i < n_data; i++)
        bytes[8 + n_json + i] = (uint8_t)i;
    *n = 8 + n_json + n_data;
    return bytes;
}

static enum fx_status parse(const char *json, size_t n_data, struct fx_err *err)
{
    struct fx_tensor_set set = { 0 };
    size_t n;
    uint8_t *bytes = make_file(json, n_data, &n);
    enum fx_status status = fx_safetensors_parse(&set, bytes, n, "t.safetensors", err);

    fx_tensor_set_fini(&set);
    free(bytes);
    return status;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

struct good_case {
    const char *json;
    size_t n_data;
};

static void test_good_headers(void **state)
{
    static const struct good_case cases[] = {
        { "{}", 0 },
        { "{}   ", 0 },
        { " \n{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}\t ", 2 },
        { "{\"__metadata__\":{}}", 0 },
        { "{\"__metadata__\":null}", 0 },
        { "{\"__metadata__\":{\"k\":\"v\"},\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":["
          "0,4]}}",
          4 },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[0,0]}}", 0 },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
          "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
          "\"c\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[3,3]}}",
          3 },
        { "{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]},"
          "\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
          3 },
        { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"extra\":[{}]}}", 1 },
        { "{\"\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[0,2]}}", 2 },
        { "{\"\\u00e4\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fx_err err = { 0 };
        if (parse(cases[i].json, cases[i].n_data, &err) != FX_OK)
            fail_msg("%s: %s", cases[i].json, err.msg);
    }
}

struct bad_case {
    const char *json;
    size_t n_data;
    const char *why; /* part of the message */
};

#define A_U8(shape, offsets)                                                                       \
    "{\"a\":{\"dtype\":\"U8\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static const struct bad_case bad_cases[] = {
    /* 4, 5: UTF-8, one JSON object, nothing after it */
    { "", 0, "not valid JSON" },
    { "{", 0, "not valid JSON" },
    { "[]", 0, "not a JSON object" },
    { "3", 0, "not" },
    { "{}x", 0, "not valid JSON" },
    { "{}{}", 0, "not valid JSON" },
    { "{\"\xff\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "not valid JSON" },
    { "{'a':1}", 0, "not valid JSON" },
    /* 6: metadata */
    { "{\"__metadata__\":[]}", 0, "__metadata__ is not an object" },
    { "{\"__metadata__\":{\"k\":1}}", 0, "not a string" },
    { "{\"__metadata__\":{\"k\":null}}", 0, "not a string" },
    { "{\"__metadata__\":{\"k\":\"a\",\"k\":\"b\"}}", 0, "duplicate" },
    /* 7: the three fields */
    { "{\"a\":1}", 0, "not an object" },
    { "{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype is missing" },
    { "{\"a\":{\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype is missing" },
    { "{\"a\":{\"dtype\":\"U9\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "unknown dtype 'U9'" },
    { "{\"a\":{\"dtype\":\"u8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "unknown dtype 'u8'" },
    { "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "shape is missing" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":1,\"data_offsets\":[0,1]}}", 1, "shape is missing" },
    { A_U8("[1.0]", "[0,1]"), 1, "whole number" },
    { A_U8("[-1]", "[0,1]"), 1, "whole number" },
    { A_U8("[\"1\"]", "[0,1]"), 1, "whole number" },
    { A_U8("[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1, "dimensions" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "data_offsets is missing" },
    { A_U8("[1]", "[0]"), 1, "data_offsets is missing" },
    { A_U8("[1]", "[0,1,2]"), 1, "data_offsets is missing" },
    { A_U8("[1]", "[0,1.0]"), 1, "data_offsets is missing" },
    { A_U8("[1]", "[-1,0]"), 1, "backwards" },
    { A_U8("[1]", "{\"0\":0,\"1\":1}"), 1, "data_offsets is missing" },
    { A_U8("[18446744073709551615]", "[0,1]"), 1, "not valid JSON" },
    /* 8: no holes, no overlap, from 0 on */
    { A_U8("[1]", "[1,2]"), 2, "hole" },
    { A_U8("[1]", "[2,1]"), 2, "backwards" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
      "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
      3, "hole" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
      "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
      3, "overlap" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
      "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
      2, "overlap" },
    /* 9: size */
    { A_U8("[2]", "[0,1]"), 1, "span 1 bytes" },
    { A_U8("[1]", "[0,2]"), 2, "span 2 bytes" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "span 4 bytes" },
    { A_U8("[4294967296,4294967296]", "[0,0]"), 0, "overflows" },
    { A_U8("[9223372036854775807,9223372036854775807,0]", "[0,0]"), 0, "overflows" },
    { "{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]}}", 0,
      "overflows" },
    /* 10: the end */
    { A_U8("[2]", "[0,2]"), 1, "cut off" },
    { A_U8("[2]", "[0,2]"), 3, "goes on" },
    { "{}", 1, "goes on" },
    { A_U8("[9223372036854775807]", "[0,9223372036854775807]"), 5, "cut off" },
    /* the same name twice */
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
      "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
      2, "duplicate" },
};

static void test_bad_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_cases / sizeof bad_cases[0]; i++) {
        struct fx_err err = { 0 };
        const struct bad_case *bad = &bad_cases[i];
        enum fx_status status = parse(bad->json, bad->n_data, &err);
        if (status != FX_EINPUT)
            fail_msg("%s: accepted with status %d", bad->json, (int)status);
        if (strstr(err.msg, bad->why) == NULL || strncmp(err.msg, "t.safetensors: ", 15) != 0)
            fail_msg("%s: message '%s' lacks '%s'", bad->json, err.msg, bad->why);
    }
}

/* Rules 1 to 3: the length before the header. */
static void test_bad_lengths(void **state)
{
    static const uint8_t huge[10] = { 1, 0xe1, 0xf5, 5, 0, 0, 0, 0, '{', '}' }; /* 100,000,001 */
    static const uint8_t past[10] = { 3, 0, 0, 0, 0, 0, 0, 0, '{', '}' };
    static const uint8_t absurd[10] = { 255, 255, 255, 255, 255, 255, 255, 255, '{', '}' };
    const struct {
        const uint8_t *bytes;
        size_t n;
        const char *why;
    } cases[] = {
        { huge, 0, "empty" },    { huge, 7, "cut off" }, { huge, 10, "100000001 bytes" },
        { past, 10, "cut off" }, { past, 8, "cut off" }, { absurd, 10, "not a safetensors" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fx_tensor_set set = { 0 };
        struct fx_err err = { 0 };
        assert_int_equal(fx_safetensors_parse(&set, cases[i].bytes, cases[i].n, "t", &err),
                         FX_EINPUT);
        if (strstr(err.msg, cases[i].why) == NULL)
            fail_msg("case %zu: '%s' lacks '%s'", i, err.msg, cases[i].why);
        fx_tensor_set_fini(&set);
    }
}

static void test_content(void **state)
{
    struct fx_tensor_set set = { 0 };
    struct fx_err err = { 0 };
    size_t n;
    uint8_t *bytes = make_file("{\"__metadata__\":{\"arch\":\"resnet18\"},"
                               "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[6,7]},"
                               "\"a\":{\"dtype\":\"I16\",\"shape\":[3,1],\"data_offsets\":[0,6]}}",
                               7, &n);

    (void)state;
    assert_int_equal(fx_safetensors_parse(&set, bytes, n, "t", &err), FX_OK);
    assert_int_equal(set.n_tensors, 2);
    assert_string_equal(fx_tensor_set_meta(&set, "arch"), "resnet18");
    const struct fx_tensor *a = fx_tensor_set_find(&set, "a"), *b = fx_tensor_set_find(&set, "b");
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(a->dtype, FX_I16);
    assert_int_equal(a->n_dims, 2);
    assert_int_equal(a->shape[0], 3);
    assert_int_equal(a->n_bytes, 6);
    assert_ptr_equal(a->data, bytes + n - 7);
    assert_int_equal(*(const uint8_t *)b->data, 6);
    assert_null(fx_tensor_set_find(&set, "c"));
    fx_tensor_set_fini(&set);
    free(bytes);
}

/* ---- streams ----------------------------------------------------------------------------------
 */

/* Reads the bytes through a pipe as stdin would come. */
static enum fx_status read_piped(const uint8_t *bytes, size_t n, struct fx_tensor_file *file,
                                 struct fx_err *err)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        for (size_t i = 0; i < n; i += 3) /* in small pieces */
            if (write(ends[1], bytes + i, n - i < 3 ? n - i : 3) < 0)
                break;
        _exit(0);
    }
    close(ends[1]);
    int saved = dup(STDIN_FILENO);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    enum fx_status status = fx_tensor_file_read(file, "-", err);
    dup2(saved, STDIN_FILENO);
    close(saved);
    waitpid(child, NULL, 0);
    return status;
}

static void test_stream(void **state)
{
    struct fx_tensor_file file;
    struct fx_err err = { 0 };
    size_t n;
    uint8_t *bytes = make_file(A_U8("[300]", "[0,300]"), 300, &n);

    (void)state;
    assert_int_equal(read_piped(bytes, n, &file, &err), FX_OK);
    assert_memory_equal(file.set.tensors[0].data, bytes + n - 300, 300);
    fx_tensor_file_close(&file);

    assert_int_equal(read_piped(bytes, n - 1, &file, &err), FX_EINPUT);
    assert_non_null(strstr(err.msg, "stdin: cut off"));
    fx_tensor_file_close(&file);

    assert_int_equal(read_piped(bytes, n + 1, &file, &err), FX_EINPUT);
    assert_non_null(strstr(err.msg, "stdin: goes on"));
    fx_tensor_file_close(&file);
    free(bytes);
}

/* ---- writing ----------------------------------------------------------------------------------
 */

static enum fx_status count_up(void *ctx, const struct fx_tensor *tensor, void *buf,
                               struct fx_err *err)
{
    (void)ctx;
    (void)err;
    for (size_t i = 0; i < tensor->n_bytes; i++)
        ((uint8_t *)buf)[i] = (uint8_t)(i + 1);
    return FX_OK;
}

/* Dtype order first, then name; the fetched tensor in its place; 8-byte padding. */
static void test_writer_bytes(void **state)
{
    static const char json[] =
        "{\"__metadata__\":{\"a\":\"1\",\"format\":\"pt\",\"z\":\"x\\\"\\n\"},"
        "\"n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]},"
        "\"w\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[12,20]},"
        "\"i\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[20,20]}}";
    struct fx_tensor_set set = { 0 };
    struct fx_err err = { 0 };
    const float w[2] = { 1, 2 }, a = 3;
    char path[] = "/tmp/fx-unit-XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(fx_tensor_set_add(&set, "w", FX_F32, 2, (int64_t[]){ 2, 1 }, w, &err), FX_OK);
    assert_int_equal(fx_tensor_set_add(&set, "i", FX_U8, 1, (int64_t[]){ 0 }, NULL, &err), FX_OK);
    assert_int_equal(fx_tensor_set_add(&set, "n", FX_I64, 0, NULL, NULL, &err), FX_OK);
    assert_int_equal(fx_tensor_set_add(&set, "a", FX_F32, 1, (int64_t[]){ 1 }, &a, &err), FX_OK);
    assert_int_equal(fx_tensor_set_put_meta(&set, "z", "x\"\n", &err), FX_OK);
    assert_int_equal(fx_tensor_set_put_meta(&set, "a", "1", &err), FX_OK);
    assert_int_equal(fx_safetensors_write(&set, fd, path, count_up, NULL, &err), FX_OK);
    fx_tensor_set_fini(&set);

    size_t n_json = sizeof json - 1, n_padded = (n_json + 7) / 8 * 8, n_read;
    uint8_t bytes[1024];
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(fx_read_full(fd, bytes, sizeof bytes, &n_read, path, &err), FX_OK);
    assert_int_equal(n_read, 8 + n_padded + 20);
    assert_int_equal(bytes[0] | bytes[1] << 8, n_padded);
    assert_memory_equal(bytes + 8, json, n_json);
    for (size_t i = n_json; i < n_padded; i++)
        assert_int_equal(bytes[8 + i], ' ');
    const uint8_t *data = bytes + 8 + n_padded;
    for (int i = 0; i < 8; i++)
        assert_int_equal(data[i], i + 1);
    assert_memory_equal(data + 8, &a, 4);
    assert_memory_equal(data + 12, w, 8);
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_headers), cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_bad_lengths),  cmocka_unit_test(test_content),
        cmocka_unit_test(test_stream),       cmocka_unit_test(test_writer_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
