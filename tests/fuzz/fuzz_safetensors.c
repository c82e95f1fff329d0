/* Broken safetensors: the reader refuses, or gives tensors that lie inside the file, none of them
 * over another, and that the writer takes. */
#include "tensor/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "mutate.h"

static bool read_safetensors(const uint8_t *bytes, size_t n)
{
    struct fx_tensor_set set;
    struct fx_err err = { 0 };
    size_t n_data = 0;

    fx_tensor_set_init(&set);
    enum fx_status status = fx_safetensors_parse(&set, bytes, n, "test", &err);
    if (status != FX_OK) {
        assert_int_equal(status, FX_EINPUT);
        assert_int_equal(strncmp(err.msg, "test: ", 6), 0);
    }
    for (size_t i = 0; status == FX_OK && i < set.n_tensors; i++) {
        const uint8_t *data = set.tensors[i].data;
        assert_true(set.tensors[i].n_bytes == 0 ||
                    (data >= bytes && data + set.tensors[i].n_bytes <= bytes + n));
        n_data += set.tensors[i].n_bytes;
    }
    assert_true(n_data <= n);
    fx_tensor_set_fini(&set);
    return status == FX_OK;
}

/* As above, behind a length that fits: most mutants would end at the length. */
static bool read_with_length(const uint8_t *bytes, size_t n)
{
    static const char body[16];
    uint8_t *file = malloc(8 + n + sizeof body);
    uint64_t length = n;

    memcpy(file, &length, 8);
    memcpy(file + 8, bytes, n);
    memcpy(file + 8 + n, body, sizeof body);
    bool is_read = read_safetensors(file, 8 + n + sizeof body);
    free(file);
    return is_read;
}

#define P(literal)                                                                                 \
    {                                                                                              \
        (uint8_t *)(literal), sizeof(literal) - 1                                                  \
    }

static const struct fuzz_bytes headers[] = {
    P("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
      "\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[8,16]}}"),
    P("{\"__metadata__\":{\"format\":\"pt\",\"arch\":\"resnet18\"},"
      "\"conv.weight\":{\"dtype\":\"BF16\",\"shape\":[2,2,1,2],\"data_offsets\":[0,16]},"
      "\"empty\":{\"dtype\":\"U8\",\"shape\":[3,0],\"data_offsets\":[16,16]}}"),
};

static const struct fuzz_bytes files[] = {
    P("\x02\x00\x00\x00\x00\x00\x00\x00{}"),
    P("\x35\x00\x00\x00\x00\x00\x00\x00"
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}"
      "abcd"),
};

static void test_headers(void **state)
{
    (void)state;
    fuzz_run(headers, sizeof headers / sizeof *headers, read_with_length);
}

static void test_files(void **state)
{
    (void)state;
    fuzz_run(files, sizeof files / sizeof *files, read_safetensors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
