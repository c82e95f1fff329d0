/* fx_k_input gives the numbers of fx_augment_batch, without rows those of fx_normalize_batch, in
 * bf16 their rounding; and maps and the host's (n, c, h, w) are the same thing. */
#include "bf16_bits.h"
#include "image_case.h"

enum { N_IMAGES = 5 * N_LOOKS, N = 40, N_LANES = 2 };

static uint8_t *images;

/* ---- maps on the host ----------------------------------------------------------------------- */

/* Bytes of a map of so many pixels, all lanes; and the value of an element as the map has it. */
struct host_map {
    struct fx_k_map map; /* data: device memory */
    bool bf16;
    size_t n_elements;
    void *data; /* owned: a copy */
};

static const float unwritten = -7.5f;

static size_t element_bytes(const struct host_map *m)
{
    return m->bf16 ? sizeof(uint16_t) : sizeof(float);
}

static float element(const struct host_map *m, size_t i)
{
    return m->bf16 ? bf16_value(((const uint16_t *)m->data)[i]) : ((const float *)m->data)[i];
}

/* A value as an element of the map. */
static float rounded(const struct host_map *m, float value)
{
    return m->bf16 ? bf16_value(bf16_bits(value)) : value;
}

/* A map for every lane, each element `unwritten`; map_fini it. */
static struct host_map map_make(int rows, int c, int ld, int group_c, bool bf16)
{
    int n_groups = group_c ? (c + group_c - 1) / group_c : 1;
    struct host_map m = {
        .bf16 = bf16,
        .map = { .group = (size_t)rows * (size_t)ld + 8, .group_c = group_c, .c = c, .ld = ld }
    };

    m.map.lane = m.map.group * (size_t)n_groups + 16;
    m.n_elements = m.map.lane * N_LANES;
    m.data = malloc(m.n_elements * element_bytes(&m));
    assert_non_null(m.data);
    for (size_t i = 0; i < m.n_elements; i++)
        if (bf16)
            ((uint16_t *)m.data)[i] = bf16_bits(unwritten);
        else
            ((float *)m.data)[i] = unwritten;
    m.map.data = to_device(m.data, m.n_elements * element_bytes(&m));
    return m;
}

static void map_fetch(struct host_map *m)
{
    from_device(m->data, m->map.data, m->n_elements * element_bytes(m));
}

static void map_fini(struct host_map *m)
{
    CUDA_OK(cudaFree(m->map.data));
    free(m->data);
}

static size_t map_place(const struct fx_k_map *map, size_t lane, size_t r, int c)
{
    size_t group = map->group_c ? (size_t)(c / map->group_c) * map->group : 0;

    return lane * map->lane + group + r * (size_t)map->ld +
           (size_t)(map->group_c ? c % map->group_c : c);
}

/* Every lane of the map holds values f32 (n, c, area), lane behind lane (same: each lane the
 * first), zeros up to a whole block, and nothing else was written. */
static void assert_map(const struct host_map *m, const float *values, int n, int area, bool same)
{
    const int c = m->map.c, padded = (c + FX_K_BLOCK - 1) / FX_K_BLOCK * FX_K_BLOCK;
    size_t n_written = 0, n_kept = 0;

    for (size_t lane = 0; lane < N_LANES; lane++)
        for (int r = 0; r < n * area; r++)
            for (int i = 0; i < padded; i++, n_written++) {
                size_t at = map_place(&m->map, lane, (size_t)r, i);
                size_t from = (size_t)((r / area * c + i) * area + r % area) +
                              (same ? 0 : lane * (size_t)(n * c * area));
                float expected = i < c ? rounded(m, values[from]) : 0.0f, found = element(m, at);
                if (memcmp(&found, &expected, sizeof found) != 0)
                    fail_msg("lane %zu, pixel %d, channel %d: %.9g, not %.9g", lane, r, i,
                             (double)found, (double)expected);
            }
    for (size_t i = 0; i < m->n_elements; i++)
        n_kept += element(m, i) == unwritten;
    assert_int_equal(n_kept, m->n_elements - n_written);
}

/* ---- the input ------------------------------------------------------------------------------ */

/* The batch by the kernels, in both types, into a map that is wider than its channels. */
static void assert_input(const struct fx_batch *batch, const float *expected)
{
    struct fx_k_batch_view view = send_batch(batch);
    uint8_t *resident = to_device(images, (size_t)N_IMAGES * FX_IMAGE_BYTES);
    uint8_t *augmented = to_device(NULL, (size_t)batch->n * FX_IMAGE_BYTES);

    CUDA_OK(fx_k_augment(NULL, &view, batch->n, resident, augmented));
    for (int bf16 = 0; bf16 < 2; bf16++) {
        struct host_map m = map_make(batch->n * FX_IMAGE_PIXELS, 3, bf16 ? 8 : 24, 0, bf16);
        struct fx_k_launch launch = { .n_lanes = N_LANES, .bf16 = bf16 };
        CUDA_OK(fx_k_input(&launch, &view, batch->n, augmented, image_mean, image_std, &m.map));
        map_fetch(&m);
        assert_map(&m, expected, batch->n, FX_IMAGE_PIXELS, true);
        map_fini(&m);
    }
    free_batch(&view);
    CUDA_OK(cudaFree(augmented));
    CUDA_OK(cudaFree(resident));
}

/* N rows with erased boxes, in training order. */
static void make_rows(struct fx_augment_row *rows)
{
    struct fx_augment_config config = { .policy = FX_AUGMENT_STRONG, .seed = 5 };
    int64_t numbers[N];

    for (int i = 0; i < N; i++)
        numbers[i] = i;
    fx_augment_epoch(&config, (struct fx_index_list){ numbers, N }, 2, rows);
    for (int i = 0; i < N; i++)
        rows[i].image %= N_IMAGES;
    rows[0].erase_h = rows[0].erase_w = 32;
    rows[0].erase_y = rows[0].erase_x = 0;
}

static void check_rows(const struct fx_mix *mix, const uint32_t *partner)
{
    static struct fx_augment_row rows[N];
    static float expected[N * FX_IMAGE_BYTES];
    struct fx_image_set set = { .images = images, .n = N_IMAGES };
    struct fx_batch batch = { .n = N, .rows = rows, .mix = mix, .partner = partner };

    make_rows(rows);
    fx_augment_batch(&set, image_mean, image_std, rows, N, mix, partner, expected);
    assert_input(&batch, expected);
}

static void test_unmixed(void **state)
{
    struct fx_mix none = { .kind = FX_MIX_NONE, .lam = 1 };
    uint32_t partner[N];

    (void)state;
    for (uint32_t i = 0; i < N; i++)
        partner[i] = i;
    check_rows(NULL, NULL);
    check_rows(&none, partner);
}

/* Drawn mixes: several batches, some image its own partner. */
static void test_mixed(void **state)
{
    int n_alone = 0;

    (void)state;
    for (int kind = FX_MIX_CUTMIX; kind <= FX_MIX_MIXUP; kind++)
        for (uint32_t number = 0; number < 6; number++) {
            struct fx_augment_config config = { .mix = (enum fx_mix_kind)kind,
                                                .mix_alpha = 1,
                                                .seed = 9 };
            struct fx_mix mix;
            uint32_t partner[N];
            fx_augment_mix(&config, 1, number, N, &mix, partner);
            for (uint32_t i = 0; i < N; i++)
                n_alone += partner[i] == i;
            check_rows(&mix, partner);
        }
    assert_true(n_alone > 0);
}

static void test_without_rows(void **state)
{
    static float expected[N * FX_IMAGE_BYTES];
    struct fx_image_set set = { .images = images, .n = N_IMAGES };
    uint32_t numbers[N];
    int64_t wide[N];
    struct fx_batch batch = { .n = N, .numbers = numbers };

    (void)state;
    for (int i = 0; i < N; i++)
        wide[i] = numbers[i] = random_below(N_IMAGES);
    fx_normalize_batch(&set, image_mean, image_std, wide, N, expected);
    assert_input(&batch, expected);
}

/* ---- packing -------------------------------------------------------------------------------- */

static void pack_and_unpack(int n, int c, int h, int w, int ld, int group_c, bool bf16)
{
    size_t n_values = (size_t)(N_LANES * n * c * h * w), n_bytes = n_values * sizeof(float);
    struct host_map m = map_make(n * h * w, c, ld, group_c, bf16);
    struct fx_k_launch launch = { .n_lanes = N_LANES, .bf16 = bf16 };
    float *values = malloc(n_bytes), *found = malloc(n_bytes);

    assert_true(values != NULL && found != NULL);
    for (size_t i = 0; i < n_values; i++)
        values[i] = (float)random_below(1 << 24) * 0x1p-20f - 6.0f;
    float *plain = to_device(values, n_bytes), *back = to_device(NULL, n_bytes);
    CUDA_OK(fx_k_pixels(&launch, plain, n, c, h, w, &m.map));
    CUDA_OK(fx_k_unpack_map(&launch, &m.map, n, h, w, back));
    map_fetch(&m);
    assert_map(&m, values, n, h * w, false);
    from_device(found, back, n_bytes);
    for (size_t i = 0; i < n_values; i++)
        assert_true(found[i] == rounded(&m, values[i]));
    CUDA_OK(cudaFree(plain));
    CUDA_OK(cudaFree(back));
    map_fini(&m);
    free(values);
    free(found);
}

static void test_packing(void **state)
{
    (void)state;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        pack_and_unpack(5, 3, 32, 32, 8, 0, bf16);
        pack_and_unpack(3, 20, 7, 5, 24, 0, bf16);
        pack_and_unpack(2, 16, 4, 4, 48, 0, bf16);
        pack_and_unpack(2, 32, 8, 8, 16, 16, bf16);
        pack_and_unpack(1, 1, 1, 1, 8, 0, bf16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unmixed),
        cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_without_rows),
        cmocka_unit_test(test_packing),
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
