/* CIFAR members: records and pickles written by hand, and what is wrong with them.  Whole archives
 * are tested from outside: cifar-prep.bats, bad.bats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/cifar_internal.h"

static uint8_t pixel(size_t image, size_t i)
{
    return (uint8_t)(image * 31 + i * 7);
}

static void assert_pixels(const struct fx_cifar_part *part)
{
    for (size_t i = 0; i < part->n; i++)
        for (size_t p = 0; p < FX_CIFAR_IMAGE_BYTES; p++)
            assert_int_equal(part->images[i * FX_CIFAR_IMAGE_BYTES + p], pixel(i, p));
}

/* ---- binary ---------------------------------------------------------------------------------- */

static void test_binary_records(void **state)
{
    (void)state;
    for (size_t n_labels = 1; n_labels <= 2; n_labels++) {
        enum { N = 5 };
        size_t record_bytes = n_labels + FX_CIFAR_IMAGE_BYTES;
        uint8_t *bytes = malloc(N * record_bytes);
        struct fx_cifar_part part = { 0 };
        struct fx_err err = { 0 };
        assert_non_null(bytes);
        for (size_t i = 0; i < N; i++) {
            uint8_t *record = bytes + i * record_bytes;
            record[0] = (uint8_t)(10 + i); /* coarse, or the only label */
            record[n_labels - 1] = (uint8_t)(20 + i);
            for (size_t p = 0; p < FX_CIFAR_IMAGE_BYTES; p++)
                record[n_labels + p] = pixel(i, p);
        }
        assert_int_equal(
            fx_cifar_binary_batch(&bytes, N * record_bytes, n_labels == 2, &part, "t", &err),
            FX_OK);
        assert_null(bytes);
        assert_int_equal(part.n, N);
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(part.fine[i], 20 + i);
            assert_int_equal(part.coarse[i], n_labels == 2 ? 10 + i : 0);
        }
        assert_pixels(&part);
        fx_cifar_part_free(&part);
    }
}

static void test_binary_sizes(void **state)
{
    static const size_t sizes[] = { 0, 1, 3073, 3075, 2 * 3074 - 1 };

    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        uint8_t *bytes = calloc(1, sizes[s] + 1);
        struct fx_cifar_part part = { 0 };
        struct fx_err err = { 0 };
        assert_int_equal(fx_cifar_binary_batch(&bytes, sizes[s], true, &part, "t", &err),
                         FX_EINPUT);
        assert_non_null(strstr(err.msg, "are not whole records of 3074 bytes"));
        free(bytes);
        fx_cifar_part_free(&part);
    }
}

static enum fx_status read_names(const char *text, size_t n, struct fx_cifar_names *names)
{
    struct fx_err err = { 0 };

    *names = (struct fx_cifar_names){ 0 };
    return fx_cifar_binary_names((const uint8_t *)text, n, names, "t", &err);
}

static void test_binary_names(void **state)
{
    static const char *const good[] = { "apple\nbee", "apple\nbee\n", "apple\r\nbee\r\n\r\n",
                                        "apple\nbee\n\n" };
    struct fx_cifar_names names;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(read_names(good[i], strlen(good[i]), &names), FX_OK);
        assert_int_equal(names.n, 2);
        assert_string_equal(names.names[0], "apple");
        assert_string_equal(names.names[1], "bee");
        fx_cifar_names_free(&names);
    }
    assert_int_equal(read_names("\n\n", 2, &names), FX_OK);
    assert_int_equal(names.n, 0); /* refused as soon as a label has no name */
    fx_cifar_names_free(&names);
}

static void test_names_are_printable_utf8(void **state)
{
    static const char *const good[] = { "caf\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x9d",
                                        "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf" };
    static const char *const bad[] = {
        "a\n\nb", /* an empty one in the middle */
        "a\tb",
        "\x7f",
        "\x1b[m",   /* control characters */
        "\xc2\x85", /* also those of Latin 1 */
        "\xc3",
        "\xe2\x82",
        "\xff",
        "\x80", /* cut, or no UTF-8 at all */
        "\xc0\xaf",
        "\xe0\x80\xaf",     /* overlong */
        "\xed\xa0\x80",     /* a surrogate */
        "\xf4\x90\x80\x80", /* beyond Unicode */
    };
    struct fx_cifar_names names;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(read_names(good[i], strlen(good[i]), &names), FX_OK);
        fx_cifar_names_free(&names);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(read_names(bad[i], strlen(bad[i]), &names), FX_EINPUT);
        fx_cifar_names_free(&names);
    }
    assert_int_equal(read_names("a\0b", 3, &names), FX_EINPUT);
    fx_cifar_names_free(&names);
    char many[2 * (FX_CIFAR_NAMES_MAX + 1)];
    for (size_t i = 0; i < sizeof many; i++)
        many[i] = i % 2 == 0 ? 'x' : '\n';
    assert_int_equal(read_names(many, sizeof many, &names), FX_EINPUT);
    fx_cifar_names_free(&names);
    assert_int_equal(read_names(many, sizeof many - 2, &names), FX_OK);
    assert_int_equal(names.n, FX_CIFAR_NAMES_MAX);
    fx_cifar_names_free(&names);
}

/* ---- python ---------------------------------------------------------------------------------- */

enum { N_IMAGES = 3 };

/* What to write; the fields of a right batch by default. */
struct batch {
    const char *labels_key, *label_items; /* opcodes between ( and e */
    const char *shape;                    /* opcodes of the shape's tuple */
    const char *dtype;
    size_t n_pixels;
    bool is_fortran;
};
static const struct batch right = {
    "labels", "K\5K\6K\7", "K\3M\0\x0c\x86", "u1", N_IMAGES *FX_CIFAR_IMAGE_BYTES, false
};

/* Most operands here hold zeros, so strings go with their length. */
#define PUT(out, text) fwrite(text, 1, sizeof(text) - 1, out)

static uint8_t *write_batch(const struct batch *b, size_t *n)
{
    char *bytes = NULL;
    FILE *out = open_memstream(&bytes, n);

    assert_non_null(out);
    PUT(out, "\x80\2}(");
    fprintf(out, "U%c%s](%se", (int)strlen(b->labels_key), b->labels_key, b->label_items);
    PUT(out, "U\4datacnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85U\1btR(K\1");
    if (b->shape == right.shape)
        PUT(out, "K\3M\0\x0c\x86");
    else
        fputs(b->shape, out);
    fprintf(out, "cnumpy\ndtype\n(U%c%s", (int)strlen(b->dtype), b->dtype);
    PUT(out, "K\0K\1tR(K\3U\1|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb");
    fputc(b->is_fortran ? 0x88 : 0x89, out);
    fputc('T', out);
    for (int i = 0; i < 4; i++)
        fputc((int)(b->n_pixels >> 8 * i & 0xff), out);
    for (size_t i = 0; i < b->n_pixels; i++)
        fputc(b->is_fortran ? pixel(i % N_IMAGES, i / N_IMAGES)
                            : pixel(i / FX_CIFAR_IMAGE_BYTES, i % FX_CIFAR_IMAGE_BYTES),
              out);
    PUT(out, "tbu.");
    assert_int_equal(fclose(out), 0);
    return (uint8_t *)bytes;
}

static enum fx_status read_batch(const struct batch *b, struct fx_cifar_part *part,
                                 struct fx_err *err)
{
    size_t n;
    uint8_t *bytes = write_batch(b, &n);

    *part = (struct fx_cifar_part){ 0 };
    enum fx_status status = fx_cifar_python_batch(&bytes, n, false, part, "t", err);
    free(bytes);
    return status;
}

static void test_python_batch(void **state)
{
    struct batch batch = right;
    struct fx_cifar_part part;

    (void)state;
    for (int fortran = 0; fortran < 2; fortran++) {
        struct fx_err err = { 0 };
        batch.is_fortran = fortran;
        assert_int_equal(read_batch(&batch, &part, &err), FX_OK);
        assert_int_equal(part.n, N_IMAGES);
        for (int i = 0; i < N_IMAGES; i++)
            assert_int_equal(part.fine[i], 5 + i);
        assert_pixels(&part);
        fx_cifar_part_free(&part);
    }
}

static void refuse(struct batch batch, const char *why)
{
    struct fx_cifar_part part;
    struct fx_err err = { 0 };

    assert_int_equal(read_batch(&batch, &part, &err), FX_EINPUT);
    if (strstr(err.msg, why) == NULL)
        fail_msg("wanted '%s', got '%s'", why, err.msg);
    fx_cifar_part_free(&part);
}

static void test_python_refused(void **state)
{
    struct batch b = right;

    (void)state;
    b.label_items = "K\5K\6";
    refuse(b, "3 images but 2 labels");
    b.label_items = "K\5K\6K\7K\10";
    refuse(b, "3 images but 4 labels");
    b.label_items = "K\5NK\7";
    refuse(b, "labels: image 1 has no label of 0..255");
    b.label_items = "K\5J\xff\xff\xff\xffK\7";
    refuse(b, "labels: image 1 has no label of 0..255");
    b.label_items = "K\5M\1\1K\7";
    refuse(b, "labels: image 1 has no label of 0..255");
    b = right;
    b.labels_key = "fine_labels";
    refuse(b, "has no labels");
    b = right;
    b.dtype = "i1";
    refuse(b, "data is not an array (n, 3072) of uint8");
    b.dtype = "O8";
    refuse(b, "t: ");
    b = right;
    b.shape = "K\2M\1\x0c\x86"; /* (2, 3073) */
    refuse(b, "t: ");
    b = right;
    b.n_pixels--;
    refuse(b, "t: ");
    b = right;
    b.n_pixels = 1;
    b.shape = "K\1K\1\x86"; /* (1, 1) */
    refuse(b, "data is not an array (n, 3072) of uint8");
}

/* Every prefix of a pickle, and every byte of its opcodes changed: refused or read, never more. */
static void test_python_cut_and_changed(void **state)
{
    size_t n;
    uint8_t *whole = write_batch(&right, &n);

    (void)state;
    for (size_t i = 0; i < n; i += i < 250 || i + 50 > n ? 1 : 997) {
        for (int way = 0; way < 9; way++) {
            struct fx_cifar_part part = { 0 };
            struct fx_err err = { 0 };
            size_t n_copy = way == 0 ? i : n;
            uint8_t *copy = malloc(n_copy > 0 ? n_copy : 1); /* exact: sanitizers see the end */
            assert_non_null(copy);
            memcpy(copy, whole, n_copy);
            if (way > 0)
                copy[i] ^= (uint8_t)(1 << (way - 1));
            enum fx_status status = fx_cifar_python_batch(&copy, n_copy, false, &part, "t", &err);
            assert_true(status == FX_EINPUT || (way > 0 && status == FX_OK));
            assert_true(status == FX_OK || strncmp(err.msg, "t: ", 3) == 0);
            free(copy);
            fx_cifar_part_free(&part);
        }
    }
    free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_binary_records),
        cmocka_unit_test(test_binary_sizes),
        cmocka_unit_test(test_binary_names),
        cmocka_unit_test(test_names_are_printable_utf8),
        cmocka_unit_test(test_python_batch),
        cmocka_unit_test(test_python_refused),
        cmocka_unit_test(test_python_cut_and_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
