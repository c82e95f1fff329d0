/* The augmentation table: order, crop, flip, mixing.  What must hold exactly is checked exactly,
 * what is drawn is checked by its distribution with fixed seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "between.h"
#include "data/augment.h"

enum { N_IMAGES = 9000 };

static const float mean[3] = { 0.5071f, 0.4865f, 0.4409f };
static const float std_dev[3] = { 0.2673f, 0.2564f, 0.2762f };

/* Every second image from 0 to 2 * N_IMAGES. */
static struct fx_index_list make_list(void)
{
    int64_t *values = calloc(N_IMAGES, sizeof *values);

    assert_non_null(values);
    for (int i = 0; i < N_IMAGES; i++)
        values[i] = 2 * i;
    return (struct fx_index_list){ .values = values, .n = N_IMAGES };
}

/* Pearson's statistic of n_cells equally likely cells; about n_cells - 1 +- sqrt(2 n_cells). */
static double chi_square(const int *counts, int n_cells)
{
    double total = 0, sum = 0;

    for (int i = 0; i < n_cells; i++)
        total += counts[i];
    for (int i = 0; i < n_cells; i++) {
        double expected = total / n_cells;
        sum += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    return sum;
}

static void assert_uniform(const int *counts, int n_cells)
{
    double limit = n_cells - 1 + 4.0 * sqrt(2.0 * (n_cells - 1)),
           found = chi_square(counts, n_cells);

    if (found > limit)
        fail_msg("chi-square %g of %d cells, limit %g", found, n_cells, limit);
}

/* ---- order ------------------------------------------------------------------------------------
 */

static void test_ascending_without_shuffle(void **state)
{
    struct fx_augment_config config = { .policy = FX_AUGMENT_NONE, .seed = 42 };
    struct fx_index_list images = make_list();
    struct fx_augment_row *rows = calloc(N_IMAGES, sizeof *rows);

    (void)state;
    fx_augment_epoch(&config, images, 1, rows);
    for (int i = 0; i < N_IMAGES; i++) {
        assert_int_equal(rows[i].image, 2 * i);
        assert_int_equal(rows[i].crop_x, 4);
        assert_int_equal(rows[i].crop_y, 4);
        assert_int_equal(rows[i].flip, 0);
        assert_int_equal(rows[i].n_ops + rows[i].erase_h, 0);
    }
    free(rows);
    free((void *)images.values);
}

/* Each image once; the place of an image is uniform; another epoch or seed is another order. */
static void test_shuffle(void **state)
{
    struct fx_augment_config config = { .policy = FX_AUGMENT_NONE, .shuffle = true, .seed = 42 };
    struct fx_index_list images = make_list();
    struct fx_augment_row *rows = calloc(N_IMAGES, sizeof *rows),
                          *again = calloc(N_IMAGES, sizeof *rows);
    bool *seen = calloc(2 * N_IMAGES, sizeof *seen);
    int tenths[100] = { 0 }, same_place = 0;

    (void)state;
    fx_augment_epoch(&config, images, 1, rows);
    for (int i = 0; i < N_IMAGES; i++) {
        assert_false(seen[rows[i].image]);
        seen[rows[i].image] = true;
        tenths[rows[i].image / 2 * 10 / N_IMAGES * 10 + i * 10 / N_IMAGES]++;
    }
    assert_uniform(tenths, 100);
    fx_augment_epoch(&config, images, 1, again);
    assert_memory_equal(rows, again, N_IMAGES * sizeof *rows);
    fx_augment_epoch(&config, images, 2, again);
    for (int i = 0; i < N_IMAGES; i++)
        same_place += rows[i].image == again[i].image;
    assert_true(same_place < 10);
    config.seed = 43;
    fx_augment_epoch(&config, images, 1, again);
    same_place = 0;
    for (int i = 0; i < N_IMAGES; i++)
        same_place += rows[i].image == again[i].image;
    assert_true(same_place < 10);
    free(seen);
    free(again);
    free(rows);
    free((void *)images.values);
}

/* ---- crop and flip ----------------------------------------------------------------------------
 */

static void test_crop_distribution(void **state)
{
    struct fx_augment_config config = { .policy = FX_AUGMENT_BASIC, .seed = 1 };
    struct fx_index_list images = make_list();
    struct fx_augment_row *rows = calloc(N_IMAGES, sizeof *rows);
    int cells[9 * 9 * 2] = { 0 };

    (void)state;
    fx_augment_epoch(&config, images, 3, rows);
    for (int i = 0; i < N_IMAGES; i++) {
        assert_between(rows[i].crop_y, 0, 8);
        assert_between(rows[i].crop_x, 0, 8);
        assert_between(rows[i].flip, 0, 1);
        cells[(rows[i].crop_y * 9 + rows[i].crop_x) * 2 + rows[i].flip]++;
    }
    assert_uniform(cells, 9 * 9 * 2);
    free(rows);
    free((void *)images.values);
}

/* A decision belongs to the image: training on fewer images, or in another order, keeps it. */
static void test_rows_belong_to_images(void **state)
{
    struct fx_augment_config config = { .policy = FX_AUGMENT_SOTA, .shuffle = true, .seed = 7 };
    struct fx_index_list images = make_list(), few = { images.values + 100, 50 };
    struct fx_augment_row *rows = calloc(N_IMAGES, sizeof *rows), some[50];
    int found = 0;

    (void)state;
    fx_augment_epoch(&config, images, 5, rows);
    config.shuffle = false;
    fx_augment_epoch(&config, few, 5, some);
    for (int i = 0; i < N_IMAGES; i++)
        for (int j = 0; j < 50; j++)
            if (rows[i].image == some[j].image) {
                assert_memory_equal(&rows[i], &some[j], sizeof some[j]);
                found++;
            }
    assert_int_equal(found, 50);
    free(rows);
    free((void *)images.values);
}

/* An image whose bytes tell where they came from: red the column, green the row. */
static void make_map(uint8_t *image)
{
    for (int y = 0; y < 32; y++)
        for (int x = 0; x < 32; x++) {
            image[y * 32 + x] = (uint8_t)x;
            image[1024 + y * 32 + x] = (uint8_t)y;
            image[2048 + y * 32 + x] = (uint8_t)(x ^ y);
        }
}

static void test_crop_pixels(void **state)
{
    static uint8_t src[FX_IMAGE_BYTES], dst[FX_IMAGE_BYTES];
    struct fx_augment_row row = { .crop_y = 4, .crop_x = 4 };

    (void)state;
    make_map(src);
    fx_augment_apply_u8(&row, src, dst);
    assert_memory_equal(src, dst, sizeof src);

    row = (struct fx_augment_row){ .crop_y = 0, .crop_x = 8, .flip = 1 };
    fx_augment_apply_u8(&row, src, dst);
    /* Rows begin at -4, which mirrors to 4, 3, 2, 1, then 0. */
    assert_int_equal(dst[1024], 4);
    assert_int_equal(dst[1024 + 4 * 32], 0);
    assert_int_equal(dst[1024 + 31 * 32], 27);
    /* Columns 4..35 mirrored: the right edge, reflected to 27, comes first. */
    assert_int_equal(dst[0], 27);
    assert_int_equal(dst[4], 31);
    assert_int_equal(dst[31], 4);
}

static void test_normalize(void **state)
{
    static uint8_t bytes[2 * FX_IMAGE_BYTES];
    static float out[2 * FX_IMAGE_BYTES];
    struct fx_image_set images = { .images = bytes, .n = 2 };
    struct fx_augment_row rows[2] = { { .image = 1, .crop_y = 4, .crop_x = 4 },
                                      { .image = 0,
                                        .crop_y = 4,
                                        .crop_x = 4,
                                        .erase_y = 30,
                                        .erase_x = 3,
                                        .erase_h = 2,
                                        .erase_w = 5 } };
    const int64_t numbers[2] = { 1, 0 };

    (void)state;
    memset(bytes, 255, FX_IMAGE_BYTES);
    fx_normalize_batch(&images, mean, std_dev, numbers, 2, out);
    assert_true(out[0] == (0.0f - mean[0]) / std_dev[0]);
    assert_true(out[FX_IMAGE_BYTES + 2048] == (1.0f - mean[2]) / std_dev[2]);

    static float augmented[2 * FX_IMAGE_BYTES];
    fx_augment_batch(&images, mean, std_dev, rows, 2, NULL, NULL, augmented);
    int n_zeros = 0;
    for (int i = 0; i < 2 * FX_IMAGE_BYTES; i++) {
        n_zeros += augmented[i] == 0.0f;
        if (augmented[i] != 0.0f)
            assert_true(augmented[i] == out[i]);
    }
    assert_int_equal(n_zeros, 3 * 2 * 5);
    assert_true(augmented[FX_IMAGE_BYTES + 1024 + 31 * 32 + 7] == 0.0f);
}

/* ---- mixing -----------------------------------------------------------------------------------
 */

/* Batches of three and more: a permutation, every place equally likely for every partner. */
static void test_partner_permutation(void **state)
{
    struct fx_augment_config config = { .mix = FX_MIX_MIXUP, .mix_alpha = 1.0, .seed = 3 };
    int cells[6 * 6] = { 0 };

    (void)state;
    for (uint32_t batch = 0; batch < 6000; batch++) {
        uint32_t partner[6], seen = 0;
        struct fx_mix mix;
        fx_augment_mix(&config, 1, batch, 6, &mix, partner);
        for (int i = 0; i < 6; i++) {
            seen |= 1u << partner[i];
            cells[i * 6 + (int)partner[i]]++;
        }
        assert_int_equal(seen, 63);
    }
    assert_uniform(cells, 36);
}

/* Beta(a, a) has mean 1/2 and variance 1 / (8 a + 4); symmetric, and for a = 1 uniform. */
static void test_beta_moments(void **state)
{
    static const double alphas[] = { 0.01, 0.2, 0.3, 1.0, 2.5, 50.0 };
    enum { N = 20000 };

    (void)state;
    for (size_t a = 0; a < sizeof alphas / sizeof alphas[0]; a++) {
        struct fx_augment_config config = { .mix = FX_MIX_MIXUP,
                                            .mix_alpha = alphas[a],
                                            .seed = 9 };
        double sum = 0, squares = 0, variance = 1 / (8 * alphas[a] + 4);
        int tenths[10] = { 0 };
        for (uint32_t batch = 0; batch < N; batch++) {
            struct fx_mix mix;
            uint32_t partner[1];
            fx_augment_mix(&config, 2, batch, 1, &mix, partner);
            assert_true(mix.lam >= 0.0f && mix.lam <= 1.0f);
            sum += mix.lam;
            squares += (mix.lam - 0.5) * (mix.lam - 0.5);
            tenths[mix.lam < 1.0f ? (int)(mix.lam * 10.0f) : 9]++;
        }
        assert_true(fabs(sum / N - 0.5) < 4 * sqrt(variance / N));
        assert_true(fabs(squares / N - variance) < 0.05 * variance);
        if (alphas[a] == 1.0)
            assert_uniform(tenths, 10);
    }
}

/* Where the distribution function is simple: Beta(1/2, 1/2) and Beta(2, 2) fill twenty cells of
 * equal probability evenly. */
static void test_beta_distribution(void **state)
{
    static const double alphas[2] = { 0.5, 2.0 };

    (void)state;
    for (int a = 0; a < 2; a++) {
        struct fx_augment_config config = { .mix = FX_MIX_MIXUP,
                                            .mix_alpha = alphas[a],
                                            .seed = 4 };
        int cells[20] = { 0 };
        for (uint32_t batch = 0; batch < 20000; batch++) {
            struct fx_mix mix;
            uint32_t partner[1];
            fx_augment_mix(&config, 1, batch, 1, &mix, partner);
            double x = (double)mix.lam;
            double below = a == 0 ? 2 / M_PI * asin(sqrt(x)) : x * x * (3 - 2 * x);
            cells[below < 1 ? (int)(20 * below) : 19]++;
        }
        assert_uniform(cells, 20);
    }
}

static void test_cutmix_box(void **state)
{
    struct fx_augment_config config = { .mix = FX_MIX_CUTMIX, .mix_alpha = 1.0, .seed = 5 };
    int n_even = 0, n_inside = 0;

    (void)state;
    for (uint32_t batch = 0; batch < 2000; batch++) {
        struct fx_mix mix;
        uint32_t partner[1];
        fx_augment_mix(&config, 1, batch, 1, &mix, partner);
        int h = mix.y1 - mix.y0, w = mix.x1 - mix.x0;
        assert_between(mix.y0, 0, 31);
        assert_between(mix.x0, 0, 31);
        assert_true(h >= 0 && mix.y1 <= 32 && w >= 0 && mix.x1 <= 32);
        assert_true(mix.lam == (float)(1.0 - h * w / 1024.0));
        if (mix.y0 > 0 && mix.y1 < 32 && mix.x0 > 0 && mix.x1 < 32) { /* not clipped */
            n_inside++;
            n_even += h == w && h % 2 == 0;
        }
    }
    assert_true(n_inside > 200);
    assert_int_equal(n_even, n_inside);
}

/* Mixing in place gives what mixing from untouched copies gives, whatever the permutation. */
static void test_mix_in_place(void **state)
{
    enum { N = 7 };
    uint8_t *bytes = malloc(N * FX_IMAGE_BYTES);
    float *plain = calloc(N * FX_IMAGE_BYTES, sizeof *plain),
          *mixed = calloc(N * FX_IMAGE_BYTES, sizeof *mixed);
    struct fx_image_set images = { .images = bytes, .n = N };
    struct fx_augment_row rows[N];
    static const uint32_t partners[3][N] = { { 1, 2, 0, 4, 3, 5, 6 },
                                             { 6, 0, 1, 2, 3, 4, 5 },
                                             { 0, 3, 5, 1, 6, 2, 4 } };

    (void)state;
    for (int i = 0; i < N * FX_IMAGE_BYTES; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    for (uint32_t i = 0; i < N; i++)
        rows[i] = (struct fx_augment_row){ .image = i, .crop_y = 4, .crop_x = 4 };
    fx_augment_batch(&images, mean, std_dev, rows, N, NULL, NULL, plain);
    for (int p = 0; p < 3; p++) {
        struct fx_mix cut = { FX_MIX_CUTMIX, 0.5f, 3, 20, 30, 32 },
                      up = { .kind = FX_MIX_MIXUP, .lam = 0.3f };
        fx_augment_batch(&images, mean, std_dev, rows, N, &cut, partners[p], mixed);
        for (int i = 0; i < N * FX_IMAGE_BYTES; i++) {
            int image = i / FX_IMAGE_BYTES, at = i % FX_IMAGE_BYTES, y = at / 32 % 32, x = at % 32;
            int from = y >= 3 && y < 20 && x >= 30 ? (int)partners[p][image] : image;
            assert_true(mixed[i] == plain[from * FX_IMAGE_BYTES + at]);
        }
        fx_augment_batch(&images, mean, std_dev, rows, N, &up, partners[p], mixed);
        for (int i = 0; i < N * FX_IMAGE_BYTES; i++) {
            int from = (int)partners[p][i / FX_IMAGE_BYTES];
            float expected =
                0.3f * plain[i] + 0.7f * plain[from * FX_IMAGE_BYTES + i % FX_IMAGE_BYTES];
            assert_true(fabsf(mixed[i] - expected) < 1e-6f);
        }
    }
    free(mixed);
    free(plain);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ascending_without_shuffle),
        cmocka_unit_test(test_shuffle),
        cmocka_unit_test(test_crop_distribution),
        cmocka_unit_test(test_rows_belong_to_images),
        cmocka_unit_test(test_crop_pixels),
        cmocka_unit_test(test_normalize),
        cmocka_unit_test(test_partner_permutation),
        cmocka_unit_test(test_beta_moments),
        cmocka_unit_test(test_beta_distribution),
        cmocka_unit_test(test_cutmix_box),
        cmocka_unit_test(test_mix_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
