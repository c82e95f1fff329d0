/* The kernels of add.cu and concat.cu against plain loops and lib/ops, with
 * channels that fill no block and maps that lie among others' values. */
#include "map_memory.h"
#include "mask_memory.h"

#include "ops/dropout.h"

static const int channels[] = { 1, 8, 12, 21, 40 };

enum { N_CHANNELS = sizeof channels / sizeof *channels, ROWS = 131 };

static float relu(float x)
{
    return x <= 0 ? 0 : x;
}

/* ---- sums ----------------------------------------------------------------------------------- */

/* y lies over summand 0 or 1, or (2) over neither. */
static void one_add(const struct fx_k_launch *l, int c, int over, bool with_relu)
{
    struct map maps[3], *y = &maps[over];

    for (int i = 0; i < 3; i++)
        map_open(&maps[i], l, EXACT, ROWS, c, i < 2 ? (uint32_t)(i + 1) : 0);
    map_set(&maps[0], 0, 0, 0, NAN);
    map_set(&maps[0], 0, 1, 0, 0.5f);
    map_set(&maps[1], 0, 1, 0, -0.5f);
    map_upload(&maps[0]);
    map_upload(&maps[1]);
    for (int k = 0; k < l->n_lanes; k++) {
        for (int r = 0; r < ROWS; r++) {
            for (int j = 0; j < c; j++) {
                float sum = map_get(&maps[0], k, r, j) + map_get(&maps[1], k, r, j);

                map_expect(y, k, r, j, with_relu ? relu(sum) : sum);
            }
        }
    }
    map_expect_padding(y, c);
    device_ok(fx_k_add(l, &maps[0].k, &maps[1].k, &y->k, ROWS, with_relu));
    for (int i = 0; i < 3; i++) {
        map_check(&maps[i], 0, "add");
        map_close(&maps[i]);
    }
}

static void all_adds(const struct fx_k_launch *l)
{
    for (int i = 0; i < N_CHANNELS; i++)
        for (int over = 0; over < 3; over++)
            for (int with_relu = 0; with_relu < 2; with_relu++)
                one_add(l, channels[i], over, with_relu);
}

static void add(void **state)
{
    (void)state;
    for_all_launches(all_adds);
}

static void one_relu_back(const struct fx_k_launch *l, int c, bool in_place)
{
    struct map y, dy, dx, *to = in_place ? &dy : &dx;

    map_open(&y, l, EXACT, ROWS, c, 1);
    map_open(&dy, l, EXACT, ROWS, c, 2);
    map_open(&dx, l, EXACT, ROWS, c, 0);
    map_set(&y, 0, 0, 0, NAN); /* lets its gradient pass, to be found there */
    map_set(&y, 0, 1, 0, 0);
    map_set(&y, 0, 2, 0, -0.0f);
    map_set(&dy, 0, 1, 0, NAN);
    map_upload(&y);
    map_upload(&dy);
    for (int k = 0; k < l->n_lanes; k++)
        for (int r = 0; r < ROWS; r++)
            for (int j = 0; j < c; j++)
                map_expect(to, k, r, j, map_get(&y, k, r, j) <= 0 ? 0 : map_get(&dy, k, r, j));
    map_expect_padding(to, c);
    device_ok(fx_k_relu_back(l, &y.k, &dy.k, &to->k, ROWS));
    map_check(&y, 0, "relu back, its y");
    map_check(&dy, 0, "relu back, its dy");
    map_check(&dx, 0, "relu back");
    map_close(&dx);
    map_close(&dy);
    map_close(&y);
}

static void all_relu_backs(const struct fx_k_launch *l)
{
    for (int i = 0; i < N_CHANNELS; i++)
        for (int in_place = 0; in_place < 2; in_place++)
            one_relu_back(l, channels[i], in_place);
}

static void relu_back(void **state)
{
    (void)state;
    for_all_launches(all_relu_backs);
}

/* dst has `more` channels of others behind those that are added to; they are poison. */
static void one_add_into(const struct fx_k_launch *l, enum way from, enum way to, int c, int more)
{
    struct map src, dst;

    map_open(&src, l, from, ROWS, c, 1);
    map_open(&dst, l, to, ROWS, c + more, 0);
    for (int k = 0; k < l->n_lanes; k++) {
        for (int r = 0; r < ROWS; r++) {
            for (int j = 0; j < c; j++) {
                map_set(&dst, k, r, j, noise(2, (uint32_t)map_index(&dst, k, r, j)));
                map_expect(&dst, k, r, j, map_get(&src, k, r, j) + map_get(&dst, k, r, j));
            }
        }
    }
    map_upload(&dst);
    device_ok(fx_k_add_into(l, &src.k, &dst.k, ROWS));
    map_check(&src, 0, "add into, its source");
    map_check(&dst, 0, "add into");
    map_close(&dst);
    map_close(&src);
}

static void all_adds_into(const struct fx_k_launch *l)
{
    for (int i = 0; i < N_CHANNELS; i++)
        for (int way = 0; way < N_WAYS * N_WAYS; way++)
            for (int more = 0; more <= 11; more += 11)
                one_add_into(l, way / N_WAYS, way % N_WAYS, channels[i], more);
}

static void add_into(void **state)
{
    (void)state;
    for_all_launches(all_adds_into);
}

/* ---- copies --------------------------------------------------------------------------------- */

static const struct move {
    int from_c, to_c, n_c;
} moves[] = {
    { 0, 0, 40 }, { 8, 16, 24 }, { 0, 0, 21 }, { 16, 8, 12 }, { 0, 28, 12 },
    { 12, 0, 9 }, { 3, 5, 1 },   { 7, 1, 33 }, { 1, 7, 33 },  { 5, 13, 27 },
};

static void one_copy(const struct fx_k_launch *l, int ways, const struct move *move)
{
    struct map from, to;
    int end = move->to_c + move->n_c;

    map_open(&from, l, ways / N_WAYS, ROWS, move->from_c + move->n_c, 1);
    map_open(&to, l, ways % N_WAYS, ROWS, end, 0);
    for (int k = 0; k < l->n_lanes; k++)
        for (int r = 0; r < ROWS; r++)
            for (int j = 0; j < move->n_c; j++)
                map_expect(&to, k, r, move->to_c + j, map_get(&from, k, r, move->from_c + j));
    map_expect_padding(&to, end);
    device_ok(fx_k_copy(l, &from.k, move->from_c, &to.k, move->to_c, move->n_c, ROWS));
    map_check(&from, 0, "copy, its source");
    map_check(&to, 0, "copy");
    map_close(&to);
    map_close(&from);
}

static void all_copies(const struct fx_k_launch *l)
{
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++)
        for (int ways = 0; ways < N_WAYS * N_WAYS; ways++)
            one_copy(l, ways, &moves[i]);
}

static void copy(void **state)
{
    (void)state;
    for_all_launches(all_copies);
}

/* Copies know no numbers: a NaN comes out with the bits it went in with. */
static void one_copy_of_bits(const struct fx_k_launch *l)
{
    struct map from, to;

    map_open(&from, l, EXACT, ROWS, 24, 0);
    map_open(&to, l, EXACT, ROWS, 24, 1);
    device_ok(fx_k_copy(l, &from.k, 0, &to.k, 8, 16, ROWS));
    for (int k = 0; k < l->n_lanes; k++)
        for (int r = 0; r < ROWS; r++)
            for (int j = 0; j < 16; j++)
                to.bits[map_index(&to, k, r, 8 + j)] = from.bits[map_index(&from, k, r, j)];
    map_check(&to, 0, "copy of bits");
    map_close(&to);
    map_close(&from);
}

static void copy_of_bits(void **state)
{
    (void)state;
    for_all_launches(one_copy_of_bits);
}

/* ---- dropout -------------------------------------------------------------------------------- */

enum { N_IMAGES = 5, H = 3, W = 7, AREA = H * W };

static const struct fx_k_batch batch = { .seed = 0x123456789abcdef0u, .epoch = 7, .n = N_IMAGES };

static struct fx_dropout dropout_of(int k)
{
    return (struct fx_dropout){ batch.seed, fx_rng_word(FX_RNG_DROPOUT, (unsigned)k, 2),
                                batch.epoch, 0.3f };
}

static void expect_mask(const struct fx_k_launch *l, struct mask *mask, int c,
                        const uint32_t *numbers)
{
    for (int k = 0; k < l->n_lanes; k++) {
        struct fx_dropout d = dropout_of(k);

        for (int r = 0; r < N_IMAGES * AREA; r++)
            for (int i = 0; i < c; i++)
                if (fx_dropout_factor(&d, numbers[r / AREA], (uint32_t)(r % AREA * c + i)) > 0)
                    mask_keep(mask, k, r, i);
    }
}

static void expect_dropped(const struct fx_k_launch *l, const struct map *x, struct map *y,
                           const uint32_t *numbers)
{
    struct fx_value_shape shape = { .tokens = 1, .c = x->c, .h = H, .w = W };

    for (int k = 0; k < l->n_lanes; k++) {
        struct fx_dropout d = dropout_of(k);
        float *planes = map_planes(x, k, AREA), *dropped = calloc((size_t)(x->rows * x->c), 4);

        assert_non_null(dropped);
        fx_dropout_forward(&d, N_IMAGES, shape, numbers, planes, dropped);
        map_expect_planes(y, k, AREA, dropped);
        free(dropped);
        free(planes);
    }
    map_expect_padding(y, y->c);
}

/* In place, or into another map; by a mask that is drawn, or there. */
static void one_drop(const struct fx_k_launch *l, enum way way, int c, bool in_place, bool draws)
{
    struct device_batch on_device;
    struct map x, y, *to = in_place ? &x : &y;
    struct mask mask;

    batch_open(&on_device, &batch, NULL, NULL);
    map_open(&x, l, way, N_IMAGES * AREA, c, 1);
    map_open(&y, l, way, N_IMAGES * AREA, c, 0);
    mask_open(&mask, l->n_lanes, N_IMAGES * AREA, c, 0.3f);
    expect_mask(l, &mask, c, on_device.numbers);
    expect_dropped(l, &x, to, on_device.numbers);
    if (draws)
        mask.k.draw = (struct fx_k_drop){ on_device.view, dropout_of(0).word, 0.3f, c, AREA };
    else
        mask_upload(&mask);
    device_ok(fx_k_drop_map(l, &x.k, &to->k, N_IMAGES * AREA, &mask.k));
    mask_check(&mask, "dropout, its mask");
    map_check(&x, 0, "dropout, its x");
    map_check(&y, 0, "dropout");
    map_close(&y);
    map_close(&x);
    mask_close(&mask);
    batch_close(&on_device);
}

static void all_drops(const struct fx_k_launch *l)
{
    for (int i = 0; i < N_CHANNELS; i++)
        for (int variant = 0; variant < 4; variant++) {
            one_drop(l, EXACT, channels[i], variant & 1, variant >> 1);
            one_drop(l, SPLIT, channels[i], variant & 1, variant >> 1);
        }
}

static void drop(void **state)
{
    (void)state;
    for_all_launches(all_drops);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(add),  cmocka_unit_test(relu_back),    cmocka_unit_test(add_into),
        cmocka_unit_test(copy), cmocka_unit_test(copy_of_bits), cmocka_unit_test(drop),
    };

    return RUN_ON_DEVICE(tests);
}
