/* The .pth writer and reader against each other: every dtype and shape comes back; a flipped bit is
 * noticed or changes nothing; a cut is never taken for a whole. */
#include "archive/pth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* The file of a set, in memory. */
static uint8_t *written(const struct fx_tensor_set *set, size_t *n)
{
    struct fx_err err = { 0 };
    int fd = memfd_create("pth", 0);

    assert_true(fd >= 0);
    if (fx_pth_write(set, fd, "root", "test", &err) != FX_OK)
        fail_msg("%s", err.msg);
    *n = (size_t)lseek(fd, 0, SEEK_END);
    uint8_t *bytes = malloc(*n);
    assert_int_equal(pread(fd, bytes, *n, 0), *n);
    close(fd);
    return bytes;
}

static void add(struct fx_tensor_set *set, const char *name, enum fx_dtype dtype, int n_dims,
                const int64_t *shape)
{
    struct fx_err err = { 0 };
    void *data;

    if (fx_tensor_set_alloc(set, name, dtype, n_dims, shape, &data, &err) != FX_OK)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < set->tensors[set->n_tensors - 1].n_bytes; i++)
        ((uint8_t *)data)[i] = (uint8_t)(i * 37 + set->n_tensors);
}

static bool same_tensors(const struct fx_tensor_set *a, const struct fx_tensor_set *b)
{
    if (a->n_tensors != b->n_tensors)
        return false;
    for (size_t i = 0; i < a->n_tensors; i++) {
        const struct fx_tensor *x = &a->tensors[i], *y = &b->tensors[i];
        if (strcmp(x->name, y->name) != 0 || x->dtype != y->dtype || x->n_dims != y->n_dims ||
            memcmp(x->shape, y->shape, (size_t)x->n_dims * sizeof *x->shape) != 0 ||
            (x->n_bytes > 0 && memcmp(x->data, y->data, x->n_bytes) != 0))
            return false;
    }
    return true;
}

/* Whether the bytes are read as this set; FX_EINPUT when they are refused. */
static enum fx_status read_as(const uint8_t *bytes, size_t n, const struct fx_tensor_set *expected,
                              bool *is_same, struct fx_err *err)
{
    const struct fx_input in = { .bytes = bytes, .n_bytes = n, .name = "test" };
    struct fx_tensor_set set;
    enum fx_status status = fx_pth_read(&set, &in, err);

    *is_same = status == FX_OK && same_tensors(&set, expected);
    fx_tensor_set_fini(&set);
    return status;
}

static void make_set(struct fx_tensor_set *set)
{
    static const enum fx_dtype dtypes[] = { FX_F32, FX_F64, FX_F16, FX_BF16, FX_I64, FX_I32,
                                            FX_I16, FX_I8,  FX_U8,  FX_BOOL, FX_C64 };
    char name[32];

    fx_tensor_set_init(set);
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        snprintf(name, sizeof name, "layer.%s", fx_dtype_name(dtypes[i]));
        add(set, name, dtypes[i], 3, (const int64_t[]){ 2, 3, 300 });
    }
    add(set, "scalar", FX_I64, 0, NULL);
    add(set, "empty", FX_F32, 2, (const int64_t[]){ 3, 0 });
    add(set, "large", FX_U8, 1, (const int64_t[]){ 70000 });
    add(set, "\xc3\xa9t\xc3\xa9", FX_F32, 1, (const int64_t[]){ 1 });
}

static void test_round_trip(void **state)
{
    struct fx_tensor_set set;
    struct fx_err err = { 0 };
    bool is_same;
    size_t n, n_again;

    (void)state;
    make_set(&set);
    uint8_t *bytes = written(&set, &n), *again = written(&set, &n_again);
    assert_true(fx_pth_is_pth(bytes, n));
    if (read_as(bytes, n, &set, &is_same, &err) != FX_OK)
        fail_msg("%s", err.msg);
    assert_true(is_same);
    assert_int_equal(n, n_again);
    assert_memory_equal(bytes, again, n);
    free(bytes);
    free(again);
    fx_tensor_set_fini(&set);
}

static void test_data_is_not_copied(void **state)
{
    struct fx_tensor_set set, got;
    struct fx_err err = { 0 };
    size_t n;

    (void)state;
    make_set(&set);
    uint8_t *bytes = written(&set, &n);
    const struct fx_input in = { .bytes = bytes, .n_bytes = n, .name = "test" };
    assert_int_equal(fx_pth_read(&got, &in, &err), FX_OK);
    for (size_t i = 0; i < got.n_tensors; i++) {
        const uint8_t *data = got.tensors[i].data;
        if (got.tensors[i].n_bytes > 0)
            assert_true(data >= bytes && data < bytes + n && (data - bytes) % 64 == 0);
    }
    fx_tensor_set_fini(&got);
    fx_tensor_set_fini(&set);
    free(bytes);
}

static void test_what_cannot_be_written(void **state)
{
    struct fx_tensor_set set;
    struct fx_err err = { 0 };
    int fd = memfd_create("pth", 0);

    (void)state;
    fx_tensor_set_init(&set);
    add(&set, "x", FX_U16, 0, NULL);
    assert_int_equal(fx_pth_write(&set, fd, "root", "test", &err), FX_EFAIL);
    assert_string_equal(err.msg, "test: x: a .pth cannot hold U16");
    assert_int_equal(lseek(fd, 0, SEEK_END), 0);
    close(fd);
    fx_tensor_set_fini(&set);
}

static void make_small(struct fx_tensor_set *set)
{
    fx_tensor_set_init(set);
    add(set, "conv.weight", FX_F32, 2, (const int64_t[]){ 2, 3 });
    add(set, "bn.num_batches_tracked", FX_I64, 0, NULL);
}

/* CRCs cover what is stored, and every header is held against another one: what is left are fields
 * that nobody reads (dates, padding, attributes), and those change nothing. */
static void test_every_flipped_bit(void **state)
{
    struct fx_tensor_set set;
    size_t n, n_harmless = 0;

    (void)state;
    make_small(&set);
    uint8_t *bytes = written(&set, &n);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        struct fx_err err = { 0 };
        bool is_same;
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum fx_status status = read_as(bytes, n, &set, &is_same, &err);
        if (status == FX_OK && !is_same)
            fail_msg("bit %zu of byte %zu changes the content unnoticed", bit % 8, bit / 8);
        if (status != FX_OK)
            assert_int_equal(status, FX_EINPUT);
        n_harmless += status == FX_OK;
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(n_harmless < 4 * n); /* mostly padding to 64 bytes */
    free(bytes);
    fx_tensor_set_fini(&set);
}

static void test_every_cut(void **state)
{
    struct fx_tensor_set set;
    size_t n;

    (void)state;
    make_small(&set);
    uint8_t *bytes = written(&set, &n);
    for (size_t cut = 0; cut < n; cut++) {
        struct fx_err err = { 0 };
        bool is_same;
        uint8_t *exact = malloc(cut > 0 ? cut : 1); /* a sanitizer sees a read behind the end */
        memcpy(exact, bytes, cut);
        assert_int_equal(read_as(exact, cut, &set, &is_same, &err), FX_EINPUT);
        assert_int_equal(strncmp(err.msg, "test: ", 6), 0);
        free(exact);
    }
    free(bytes);
    fx_tensor_set_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_data_is_not_copied),
        cmocka_unit_test(test_what_cannot_be_written),
        cmocka_unit_test(test_every_flipped_bit),
        cmocka_unit_test(test_every_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
