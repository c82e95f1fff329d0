/* What travels to the device: a batch in its block, and the resident images. */
#include "image_case.h"

#include "backend/cuda/input_internal.h"
#include "kernels/batch_row.h"

enum { N = 7, N_MAX = 11 };

static void assert_inside(const void *block, const void *array, size_t n_bytes, size_t alignment)
{
    size_t at = (size_t)((const char *)array - (const char *)block);

    assert_true(at >= sizeof(struct fx_k_batch));
    assert_true(at + n_bytes <= fx_batch_block_bytes(N_MAX));
    assert_int_equal(at % alignment, 0);
}

static void test_a_whole_batch(void **state)
{
    void *block = malloc(fx_batch_block_bytes(N_MAX));
    struct fx_k_batch_view view = fx_batch_block_view(block, N_MAX);
    struct fx_mix mix = { .kind = FX_MIX_CUTMIX, .lam = 0.25f, .y0 = 1, .y1 = 9, .x0 = 2, .x1 = 8 };
    struct fx_augment_row rows[N] = { 0 };
    uint32_t partner[N], numbers[N];
    uint8_t labels[N];
    struct fx_batch batch = { .n = N,
                              .rows = rows,
                              .mix = &mix,
                              .partner = partner,
                              .numbers = numbers,
                              .labels = labels,
                              .seed = 1ull << 40,
                              .epoch = 6 };

    (void)state;
    assert_non_null(block);
    for (uint32_t i = 0; i < N; i++) {
        partner[i] = (i + 2) % N;
        numbers[i] = 100 + i;
        labels[i] = (uint8_t)(50 + i);
        rows[i] = (struct fx_augment_row){ .image = 100 + i, .flip = i % 2, .n_ops = 2 };
        rows[i].ops[0].kind = FX_OP_HUE;
        rows[i].ops[1] = (struct fx_op){ FX_OP_TRANSLATE_X, (float)i };
    }
    fx_batch_block_fill(block, N_MAX, &batch);
    assert_ptr_equal(view.batch, block);
    assert_inside(block, view.numbers, N_MAX * sizeof *numbers, 16);
    assert_inside(block, view.partner, N_MAX * sizeof *partner, 16);
    assert_inside(block, view.rows, N_MAX * sizeof(struct fx_k_row), 16);
    assert_inside(block, view.labels, N_MAX, 1);
    assert_memory_equal(view.numbers, numbers, sizeof numbers);
    assert_memory_equal(view.partner, partner, sizeof partner);
    assert_memory_equal(view.labels, labels, sizeof labels);
    for (int i = 0; i < N; i++) {
        const struct fx_k_row *row = (const struct fx_k_row *)view.rows + i;
        assert_memory_equal(&row->row, &rows[i], sizeof rows[i]);
        assert_int_equal(row->walks[1].a, 1 << 16);
        assert_int_equal(row->walks[1].x0, (1 << 15) - (i << 16));
    }
    assert_true(view.batch->seed == 1ull << 40 && view.batch->epoch == 6 && view.batch->n == N);
    assert_true(view.batch->has_partner && view.batch->mix.kind == FX_MIX_CUTMIX);
    assert_true(view.batch->mix.lam == 0.25f && view.batch->mix.y0 == 1 && view.batch->mix.y1 == 9);
    assert_true(view.batch->mix.x0 == 2 && view.batch->mix.x1 == 8 && !view.batch->is_first);
    free(block);
}

/* What a batch lacks. */
static void test_a_bare_batch(void **state)
{
    void *block = malloc(fx_batch_block_bytes(N_MAX));
    struct fx_k_batch_view view = fx_batch_block_view(block, N_MAX);
    struct fx_batch batch = { .n = N };

    (void)state;
    assert_non_null(block);
    memset(block, 0xff, fx_batch_block_bytes(N_MAX));
    fx_batch_block_fill(block, N_MAX, &batch);
    assert_true(view.batch->mix.lam == 1.0f && !view.batch->has_partner);
    assert_int_equal(view.batch->mix.kind, FX_MIX_NONE);
    for (int i = 0; i < N; i++) {
        const struct fx_k_row *row = (const struct fx_k_row *)view.rows + i;
        assert_int_equal(view.numbers[i] + view.partner[i] + view.labels[i], 0);
        assert_true(row->row.crop_y == 4 && row->row.crop_x == 4 && row->row.n_ops == 0);
        assert_int_equal(row->row.erase_h, 0);
    }
    free(block);
}

static void test_resident_images(void **state)
{
    enum { N_IMAGES = 20 };
    uint8_t *images = paint_images(N_IMAGES), *back = malloc(N_IMAGES * FX_IMAGE_BYTES);
    struct fx_dataset dataset = { .train = { .images = images, .n = N_IMAGES },
                                  .mean = { 0.25f, 0.5f, 0.75f },
                                  .std = { 1, 2, 3 } };
    struct fx_resident *resident;
    struct fx_err err = { 0 };

    (void)state;
    assert_non_null(back);
    assert_int_equal(fx_resident_create(&resident, &dataset, NULL, &err), FX_OK);
    from_device(back, fx_resident_images(resident), N_IMAGES * FX_IMAGE_BYTES);
    assert_memory_equal(back, images, N_IMAGES * FX_IMAGE_BYTES);
    assert_memory_equal(fx_resident_mean(resident), dataset.mean, sizeof dataset.mean);
    assert_memory_equal(fx_resident_std(resident), dataset.std, sizeof dataset.std);
    fx_resident_destroy(resident);
    fx_resident_destroy(NULL);
    free(images);
    free(back);
}

/* Three petabytes; nothing is read. */
static void test_more_images_than_the_device_holds(void **state)
{
    struct fx_dataset dataset = { .train = { .n = 1000000000000 } };
    struct fx_resident *resident;
    struct fx_err err = { 0 };

    (void)state;
    assert_int_equal(fx_resident_create(&resident, &dataset, NULL, &err), FX_EFAIL);
    assert_null(resident);
    assert_non_null(strstr(err.msg, "device cuda: 1000000000000 training images need 2929687500 "
                                    "MiB of the device's memory, of which "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_batch),
        cmocka_unit_test(test_a_bare_batch),
        cmocka_unit_test(test_resident_images),
        cmocka_unit_test(test_more_images_than_the_device_holds),
    };
    int status;

    if (device_missing(&status))
        return status;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
