/* The pixel operations without PyTorch: cases that can be checked by hand, and one digest over all
 * of them (tests/augment.bats compares them with torchvision where that is installed). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/hash.h"
#include "between.h"
#include "data/augment.h"

static uint8_t image[FX_IMAGE_BYTES];

static void apply(enum fx_op_kind kind, float magnitude)
{
    fx_pixel_op(&(struct fx_op){ .kind = (uint8_t)kind, .magnitude = magnitude }, image);
}

/* Every plane: value x + y. */
static void make_ramp(void)
{
    for (int i = 0; i < FX_IMAGE_BYTES; i++)
        image[i] = (uint8_t)(i % 32 + i / 32 % 32);
}

static void make_noise(void)
{
    for (uint32_t i = 0; i < FX_IMAGE_BYTES; i++)
        image[i] = (uint8_t)(i * 2654435761u >> 21);
}

static int at(int c, int y, int x)
{
    return image[c * FX_IMAGE_PIXELS + y * 32 + x];
}

static void test_geometry(void **state)
{
    (void)state;
    make_ramp();
    apply(FX_OP_TRANSLATE_X, 3.9f); /* three to the right, black comes in */
    assert_int_equal(at(0, 5, 2), 0);
    assert_int_equal(at(0, 5, 3), 5);
    assert_int_equal(at(2, 5, 31), 5 + 28);
    make_ramp();
    apply(FX_OP_TRANSLATE_Y, -2.0f); /* two up */
    assert_int_equal(at(1, 0, 7), 2 + 7);
    assert_int_equal(at(1, 30, 7), 0);
    make_ramp();
    apply(FX_OP_ROTATE, 90.0f); /* the last column becomes the first row */
    assert_int_equal(at(0, 0, 0), 31);
    assert_int_equal(at(0, 0, 31), 62);
    assert_int_equal(at(0, 31, 0), 0);
    make_ramp();
    apply(FX_OP_ROTATE, -360.0f);
    assert_int_equal(at(0, 3, 4), 7);
    apply(FX_OP_SHEAR_X, 0.0f);
    assert_int_equal(at(0, 3, 4), 7);
}

static void test_tones(void **state)
{
    (void)state;
    memset(image, 0xb7, sizeof image);
    apply(FX_OP_POSTERIZE, 4);
    assert_int_equal(at(0, 0, 0), 0xb0);
    apply(FX_OP_SOLARIZE, 176.0f);
    assert_int_equal(at(0, 0, 0), 255 - 0xb0);
    apply(FX_OP_AUTOCONTRAST, 0);
    assert_int_equal(at(0, 0, 0), 255 - 0xb0); /* a flat channel stays */
    apply(FX_OP_EQUALIZE, 0);
    assert_int_equal(at(0, 0, 0), 255 - 0xb0);
    image[7] = 10;
    apply(FX_OP_AUTOCONTRAST, 0);
    assert_int_equal(image[7], 0);
    assert_int_equal(image[8], 255);
    assert_int_equal(at(1, 0, 0), 255 - 0xb0);
}

static void test_blends(void **state)
{
    (void)state;
    memset(image, 200, sizeof image);
    apply(FX_OP_BRIGHTNESS, 0.5f);
    assert_int_equal(at(2, 9, 9), 100);
    apply(FX_OP_BRIGHTNESS, 3.0f);
    assert_int_equal(at(2, 9, 9), 255);
    apply(FX_OP_CONTRAST, 0.0f);
    assert_int_equal(at(0, 0, 0), 255);
    memset(image, 0, sizeof image);
    memset(image + FX_IMAGE_PIXELS, 255, FX_IMAGE_PIXELS); /* green */
    apply(FX_OP_COLOR, 0.0f);
    assert_int_equal(at(0, 1, 1), 150); /* 0.587 * 255 */
    assert_int_equal(at(1, 1, 1), 150);
}

static void test_hue(void **state)
{
    (void)state;
    memset(image, 0, sizeof image);
    memset(image, 255, FX_IMAGE_PIXELS); /* red */
    apply(FX_OP_HUE, 1.0f / 3.0f);       /* 85 of 255: a third of the circle, green */
    assert_int_equal(at(0, 4, 4), 0);
    assert_int_equal(at(1, 4, 4), 255);
    assert_int_equal(at(2, 4, 4), 0);
    memset(image, 99, sizeof image);
    apply(FX_OP_HUE, 0.25f); /* grey has no hue */
    assert_int_equal(at(0, 4, 4), 99);
}

/* All kinds one after another on noise; the digest belongs to the results that equalled
 * torchvision's. */
static void test_digest(void **state)
{
    static const float magnitudes[FX_N_OPS] = {
        [FX_OP_SHEAR_X] = -0.297f,  [FX_OP_SHEAR_Y] = 0.66f,   [FX_OP_TRANSLATE_X] = -7.5f,
        [FX_OP_TRANSLATE_Y] = 3.2f, [FX_OP_ROTATE] = 40.5f,    [FX_OP_BRIGHTNESS] = 1.42f,
        [FX_OP_COLOR] = 0.55f,      [FX_OP_CONTRAST] = 1.66f,  [FX_OP_SHARPNESS] = 1.9f,
        [FX_OP_POSTERIZE] = 5,      [FX_OP_SOLARIZE] = 136.0f, [FX_OP_HUE] = -0.07f,
    };
    struct fx_sha256 hash;
    char text[FX_SHA256_TEXT_BYTES];

    (void)state;
    fx_sha256_init(&hash);
    for (int kind = 0; kind < FX_N_OPS; kind++) {
        assert_non_null(fx_op_name((enum fx_op_kind)kind));
        make_noise();
        apply((enum fx_op_kind)kind, magnitudes[kind]);
        fx_sha256_update(&hash, image, sizeof image);
    }
    fx_sha256_text(&hash, text);
    assert_string_equal(text, "f4308f437fb860b3c023daf2134b95a820ff5ca785a09719c7aae719abd4432d");
    assert_null(fx_op_name(FX_N_OPS));
}

/* Boxes lie inside, the jitter has each of its four operations once, magnitudes are in range. */
static void test_policy_rows(void **state)
{
    enum { N = 3000 };
    static int64_t numbers[N];
    static struct fx_augment_row rows[N];
    static const struct {
        enum fx_augment_policy policy;
        int n_ops, n_erased_min, n_erased_max;
    } cases[] = { { FX_AUGMENT_NONE, 0, 0, 0 },        { FX_AUGMENT_BASIC, 0, 0, 0 },
                  { FX_AUGMENT_LIGHT, 2, 230, 370 },   { FX_AUGMENT_BASELINE, 4, 650, 850 },
                  { FX_AUGMENT_STRONG, 3, 800, 1000 }, { FX_AUGMENT_SOTA, 1, 650, 850 } };

    (void)state;
    for (int i = 0; i < N; i++)
        numbers[i] = i;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct fx_augment_config config = { .policy = cases[c].policy, .seed = 11 };
        int n_erased = 0;
        fx_augment_epoch(&config, (struct fx_index_list){ numbers, N }, 4, rows);
        for (int i = 0; i < N; i++) {
            unsigned kinds = 0;
            assert_int_equal(rows[i].n_ops, cases[c].n_ops);
            for (int j = 0; j < rows[i].n_ops; j++)
                kinds |= 1u << rows[i].ops[j].kind;
            if (cases[c].policy == FX_AUGMENT_BASELINE)
                assert_int_equal(kinds, 1u << FX_OP_BRIGHTNESS | 1u << FX_OP_CONTRAST |
                                            1u << FX_OP_COLOR | 1u << FX_OP_HUE);
            n_erased += rows[i].erase_h > 0;
            assert_true(rows[i].erase_y + rows[i].erase_h <= 32);
            assert_true(rows[i].erase_x + rows[i].erase_w <= 32);
        }
        assert_between(n_erased, cases[c].n_erased_min, cases[c].n_erased_max);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_geometry), cmocka_unit_test(test_tones),
        cmocka_unit_test(test_blends),   cmocka_unit_test(test_hue),
        cmocka_unit_test(test_digest),   cmocka_unit_test(test_policy_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
