/* fx_k_augment gives the bytes of fx_augment_apply_u8: every policy's rows, every operation as far
 * as its magnitude may reach, and any four operations one after another. */
#include "image_case.h"

enum { N_IMAGES = 8 * N_LOOKS };

static uint8_t *images;

/* Applies the rows on the device and on the host. */
static void assert_same_bytes(const struct fx_augment_row *rows, int n)
{
    const size_t n_bytes = (size_t)n * FX_IMAGE_BYTES;
    struct fx_batch batch = { .n = n, .rows = rows };
    struct fx_k_batch_view view = send_batch(&batch);
    uint8_t *resident = to_device(images, (size_t)N_IMAGES * FX_IMAGE_BYTES);
    uint8_t *augmented = to_device(NULL, n_bytes), *found = malloc(n_bytes);
    uint8_t expected[FX_IMAGE_BYTES];

    assert_non_null(found);
    CUDA_OK(fx_k_augment(NULL, &view, n, resident, augmented));
    from_device(found, augmented, n_bytes);
    for (int i = 0; i < n; i++) {
        const struct fx_augment_row *row = &rows[i];
        fx_augment_apply_u8(row, images + (size_t)row->image * FX_IMAGE_BYTES, expected);
        if (memcmp(found + (size_t)i * FX_IMAGE_BYTES, expected, sizeof expected) != 0)
            fail_msg("row %d: image %u, %d operations, the first %s %.9g", i, row->image,
                     row->n_ops, fx_op_name(row->ops[0].kind), (double)row->ops[0].magnitude);
    }
    free(found);
    free_batch(&view);
    CUDA_OK(cudaFree(augmented));
    CUDA_OK(cudaFree(resident));
}

/* An epoch of 600 rows on N_IMAGES images. */
static void test_policies(void **state)
{
    enum { N = 600 };
    static struct fx_augment_row rows[N];
    int64_t numbers[N];

    (void)state;
    for (int i = 0; i < N; i++)
        numbers[i] = i;
    for (int policy = FX_AUGMENT_NONE; policy <= FX_AUGMENT_SOTA; policy++) {
        struct fx_augment_config config = { .policy = (enum fx_augment_policy)policy, .seed = 7 };
        fx_augment_epoch(&config, (struct fx_index_list){ numbers, N }, 3, rows);
        for (int i = 0; i < N; i++)
            rows[i].image %= N_IMAGES;
        assert_same_bytes(rows, N);
    }
}

static struct fx_augment_row centre(uint32_t image)
{
    return (struct fx_augment_row){ .image = image, .crop_y = 4, .crop_x = 4 };
}

enum { MAX_MAGNITUDES = 16 };

/* The ends of each operation's range, beyond them where that means something, and between. */
static const struct {
    enum fx_op_kind kind;
    int n;
    float magnitudes[MAX_MAGNITUDES];
} extremes[] = {
    { FX_OP_IDENTITY, 1, { 0 } },
    { FX_OP_SHEAR_X, 9, { 0, 0.3f, -0.3f, 0.99f, -0.99f, 1, 5, -5, 0.001f } },
    { FX_OP_SHEAR_Y, 9, { 0, 0.3f, -0.3f, 0.99f, -0.99f, 1, 5, -5, 0.001f } },
    { FX_OP_TRANSLATE_X, 8, { 0, 1, -1, 31.9f, 32, -32, 100, -0.9f } },
    { FX_OP_TRANSLATE_Y, 8, { 0, 1, -1, 31.9f, 32, -32, 100, -0.9f } },
    { FX_OP_ROTATE,
      16,
      { 0, 45, -45, 90, -90, 135, -135, 180, 270, 360, -450, 30, -60, 89.9f, 0.1f, 359.9f } },
    { FX_OP_BRIGHTNESS, 7, { 0, 0.01f, 1, 1.99f, 10, -1, 0.5f } },
    { FX_OP_COLOR, 7, { 0, 0.01f, 1, 1.99f, 10, -1, 0.5f } },
    { FX_OP_CONTRAST, 7, { 0, 0.01f, 1, 1.99f, 10, -1, 0.5f } },
    { FX_OP_SHARPNESS, 7, { 0, 0.01f, 1, 1.99f, 10, -1, 0.5f } },
    { FX_OP_POSTERIZE, 9, { 0, 1, 2, 3, 4, 5, 6, 7, 8 } },
    { FX_OP_SOLARIZE, 7, { 0, 255, 256, 128, 127.5f, -1, 254.9f } },
    { FX_OP_AUTOCONTRAST, 1, { 0 } },
    { FX_OP_EQUALIZE, 1, { 0 } },
    { FX_OP_HUE, 9, { 0, 0.5f, -0.5f, 0.1f, -0.1f, 1 / 255.0f, -1 / 255.0f, 0.333f, 0.25f } },
};
enum { N_EXTREMES = sizeof extremes / sizeof *extremes };

static void test_extremes(void **state)
{
    static struct fx_augment_row rows[MAX_MAGNITUDES * N_IMAGES];

    (void)state;
    assert_int_equal(N_EXTREMES, FX_N_OPS);
    for (int k = 0; k < N_EXTREMES; k++) {
        int n = 0;
        for (int m = 0; m < extremes[k].n; m++)
            for (uint32_t image = 0; image < N_IMAGES; image++, n++) {
                rows[n] = centre(image);
                rows[n].n_ops = 1;
                rows[n].ops[0] =
                    (struct fx_op){ (uint8_t)extremes[k].kind, extremes[k].magnitudes[m] };
            }
        assert_same_bytes(rows, n);
    }
}

static void test_any_four_operations(void **state)
{
    enum { N = 1500 };
    static struct fx_augment_row rows[N];

    (void)state;
    for (int i = 0; i < N; i++) {
        rows[i] = centre(random_below(N_IMAGES));
        rows[i].crop_y = (int8_t)random_below(9);
        rows[i].crop_x = (int8_t)random_below(9);
        rows[i].flip = (uint8_t)random_below(2);
        rows[i].n_ops = (uint8_t)random_below(FX_MAX_AUGMENT_OPS + 1);
        for (int j = 0; j < rows[i].n_ops; j++) {
            uint32_t kind = random_below(FX_N_OPS), m = random_below((uint32_t)extremes[kind].n);
            rows[i].ops[j] = (struct fx_op){ (uint8_t)kind, extremes[kind].magnitudes[m] };
        }
    }
    assert_same_bytes(rows, N);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_any_four_operations),
    };
    int status;

    if (device_missing(&status))
        return status;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    images = paint_images(N_IMAGES);
    status = cmocka_run_group_tests(tests, NULL, NULL);
    free(images);
    return status;
}
