/* The loader: a batch is a pure function of (options, epoch, number), wherever the epoch was begun,
 * and it is what the augmentation table says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "run/data_loader_internal.h"

enum { N_IMAGES = 23, N_USED = 17, BATCH = 5 };

static uint8_t images[N_IMAGES * FX_IMAGE_BYTES], labels[N_IMAGES];
static int64_t used[N_USED];
static const struct fx_dataset dataset = {
    .train = { images, labels, labels, N_IMAGES },
    .mean = { 0.5f, 0.4f, 0.3f },
    .std = { 0.2f, 0.25f, 0.3f },
};

static int make_images(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)(i * 2654435761u >> 13);
    for (int i = 0; i < N_IMAGES; i++)
        labels[i] = (uint8_t)(i % 7);
    for (int i = 0; i < N_USED; i++)
        used[i] = i + i / 3;
    return 0;
}

static struct fx_data_loader *make(enum fx_mix_kind mix, bool needs_pixels)
{
    const struct fx_data_loader_options options = {
        .dataset = &dataset,
        .images = { used, N_USED },
        .augment = { .policy = FX_AUGMENT_STRONG,
                     .mix = mix,
                     .mix_alpha = 1,
                     .shuffle = true,
                     .seed = 5 },
        .batch = BATCH,
        .needs_pixels = needs_pixels,
    };
    struct fx_data_loader *loader;
    struct fx_err err = { 0 };

    assert_int_equal(fx_data_loader_create(&loader, &options, &err), FX_OK);
    return loader;
}

static void assert_same(const struct fx_batch *a, const struct fx_batch *b)
{
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->numbers, b->numbers, (size_t)a->n * sizeof *a->numbers);
    assert_memory_equal(a->labels, b->labels, (size_t)a->n);
    assert_memory_equal(a->pixels, b->pixels, (size_t)a->n * FX_IMAGE_BYTES * sizeof(float));
    assert_memory_equal(a->partner, b->partner, (size_t)a->n * sizeof *a->partner);
    assert_memory_equal(a->mix, b->mix, sizeof *a->mix);
}

static void test_an_epoch_can_be_entered_anywhere(void **state)
{
    struct fx_data_loader *whole = make(FX_MIX_CUTMIX, true), *late = make(FX_MIX_CUTMIX, true);

    (void)state;
    assert_int_equal(fx_data_loader_n_batches(whole), 4);
    for (int64_t first = 0; first < 4; first++) {
        struct fx_batch a, b;
        fx_data_loader_begin(whole, 3, 0);
        fx_data_loader_begin(late, 3, first);
        for (int64_t i = 0; i < 4; i++) {
            fx_data_loader_next(whole, &a);
            if (i < first)
                continue;
            fx_data_loader_next(late, &b);
            assert_same(&a, &b);
        }
    }
    fx_data_loader_destroy(whole);
    fx_data_loader_destroy(late);
}

/* Every image once, the last batch partial, labels and numbers of the image that is shown. */
static void test_an_epoch_is_every_image_once(void **state)
{
    struct fx_data_loader *loader = make(FX_MIX_NONE, true);
    int seen[N_IMAGES] = { 0 };
    float alone[FX_IMAGE_BYTES];

    (void)state;
    fx_data_loader_begin(loader, 1, 0);
    for (int64_t i = 0; i < fx_data_loader_n_batches(loader); i++) {
        struct fx_batch batch;
        fx_data_loader_next(loader, &batch);
        assert_int_equal(batch.n, i < 3 ? BATCH : N_USED - 3 * BATCH);
        assert_null(batch.mix);
        assert_int_equal(batch.epoch, 1);
        assert_true(batch.seed == 5);
        for (int j = 0; j < batch.n; j++) {
            seen[batch.numbers[j]]++;
            assert_int_equal(batch.labels[j], labels[batch.numbers[j]]);
            assert_int_equal(batch.rows[j].image, batch.numbers[j]);
            fx_augment_batch(&dataset.train, dataset.mean, dataset.std, &batch.rows[j], 1, NULL,
                             NULL, alone);
            assert_memory_equal(alone, batch.pixels + (size_t)j * FX_IMAGE_BYTES, sizeof alone);
        }
    }
    for (int i = 0; i < N_USED; i++)
        assert_int_equal(seen[used[i]], 1);
    fx_data_loader_destroy(loader);
}

static void test_epochs_differ(void **state)
{
    struct fx_data_loader *loader = make(FX_MIX_MIXUP, true);
    struct fx_batch batch;
    uint32_t first[BATCH];

    (void)state;
    fx_data_loader_begin(loader, 1, 0);
    fx_data_loader_next(loader, &batch);
    memcpy(first, batch.numbers, sizeof first);
    fx_data_loader_begin(loader, 2, 0);
    fx_data_loader_next(loader, &batch);
    assert_memory_not_equal(first, batch.numbers, sizeof first);
    fx_data_loader_destroy(loader);
}

static void test_a_back_end_that_applies_rows_gets_no_pixels(void **state)
{
    struct fx_data_loader *loader = make(FX_MIX_CUTMIX, false);
    struct fx_batch batch;

    (void)state;
    fx_data_loader_begin(loader, 1, 0);
    fx_data_loader_next(loader, &batch);
    assert_null(batch.pixels);
    assert_non_null(batch.rows);
    fx_data_loader_destroy(loader);
    fx_data_loader_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_epoch_can_be_entered_anywhere),
        cmocka_unit_test(test_an_epoch_is_every_image_once),
        cmocka_unit_test(test_epochs_differ),
        cmocka_unit_test(test_a_back_end_that_applies_rows_gets_no_pixels),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_images, NULL);
}
