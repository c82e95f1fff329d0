/* The kernels of dense.cu and layernorm.cu against lib/ops, at sizes that fill neither
 * warps nor blocks, for one lane and for three. */
#include "kernel_case.h"

#include "ops/dropout.h"
#include "ops/operators.h"

static const struct size {
    int rows, c;
} sizes[] = { { 1, 1 }, { 3, 100 }, { 17, 33 }, { 70, 257 } };

/* A test of one size. */
struct config {
    int rows, c, n_lanes;
    bool flag; /* add, and where there is one, ReLU */
};

static void for_all(void (*test)(const struct config *))
{
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int n_lanes = 1; n_lanes <= 3; n_lanes += 2)
            for (int flag = 0; flag < 2; flag++)
                test(&(struct config){ sizes[i].rows, sizes[i].c, n_lanes, flag });
}

static struct fx_k_launch launch(const struct config *g)
{
    return (struct fx_k_launch){ .stream = stream, .n_lanes = g->n_lanes };
}

static size_t count(const struct config *g)
{
    return (size_t)g->rows * (size_t)g->c;
}

/* ---- bias and ReLU: a linear layer whose weight is the unit matrix -------------------------- */

static float *unit_matrix(int c)
{
    float *w = calloc((size_t)c * (size_t)c, sizeof *w);

    assert_non_null(w);
    for (int i = 0; i < c; i++)
        w[i * c + i] = 1;
    return w;
}

static struct fx_linear unit_linear(const struct config *g)
{
    return (struct fx_linear){ .rows = g->rows, .c_in = g->c, .c_out = g->c, .relu = g->flag };
}

static void one_bias(const struct config *g)
{
    struct fx_linear linear = unit_linear(g);
    struct fx_k_launch l = launch(g);
    float *w = unit_matrix(g->c);
    struct vec y, bias;

    vec_open(&y, g->n_lanes, count(g), 1);
    vec_open(&bias, g->n_lanes, (size_t)g->c, 2);
    for (int k = 0; k < g->n_lanes; k++)
        fx_linear_forward(&linear, vec_host(&y, k), w, vec_host(&bias, k), vec_expected(&y, k));
    device_ok(fx_k_bias_act(&l, vec_array(&y), g->rows, g->c, vec_array(&bias), g->flag));
    vec_check(&y, 1e-7, "bias");
    vec_check(&bias, 0, "bias, its input");
    vec_close(&bias);
    vec_close(&y);
    free(w);
}

static void bias_and_relu(void **state)
{
    (void)state;
    for_all(one_bias);
}

/* The reference adds to dz, which begins as 0: what is left of dy behind the ReLU. */
static void one_bias_back(const struct config *g)
{
    struct fx_linear linear = unit_linear(g);
    struct fx_k_launch l = launch(g);
    float *w = unit_matrix(g->c), *dw = calloc((size_t)g->c * (size_t)g->c, sizeof *dw);
    struct vec y, dy, dz, d_bias;

    assert_non_null(dw);
    vec_open(&y, g->n_lanes, count(g), 1);
    vec_open(&dy, g->n_lanes, count(g), 2);
    vec_open(&dz, g->n_lanes, count(g), 0);
    vec_open(&d_bias, g->n_lanes, (size_t)g->c, g->flag ? 3 : 0);
    for (int k = 0; k < g->n_lanes; k++) {
        vec_host(&y, k)[0] = 0; /* the ReLU's own zero lets no gradient pass */
        fx_linear_backward(&linear, vec_host(&y, k), w, vec_host(&y, k), vec_host(&dy, k),
                           vec_expected(&dz, k), dw, vec_expected(&d_bias, k));
    }
    vec_upload(&y);
    device_ok(fx_k_bias_act_back(&l, vec_array(&y), vec_array(&dy), g->rows, g->c, g->flag,
                                 vec_array(&dz), vec_grad(&d_bias, g->flag)));
    vec_check(&dz, 0, "gradient before the ReLU");
    vec_check(&d_bias, 1e-6, "gradient of a bias");
    vec_close(&d_bias);
    vec_close(&dz);
    vec_close(&dy);
    vec_close(&y);
    free(dw);
    free(w);
}

static void bias_and_relu_backward(void **state)
{
    (void)state;
    for_all(one_bias_back);
}

/* Without ReLU dz may be left out; the bias may be, too. */
static void bias_backward_in_part(void **state)
{
    struct fx_k_launch l = { .stream = stream, .n_lanes = 1 };
    struct vec dy, dz, d_bias;

    (void)state;
    vec_open(&dy, 1, 5 * 40, 1);
    vec_open(&dz, 1, 5 * 40, 0);
    vec_open(&d_bias, 1, 40, 0);
    for (int i = 0; i < 5 * 40; i++)
        d_bias.expected[i % 40] += dy.host[i];
    memcpy(dz.expected, dy.expected, 5 * 40 * sizeof(float));
    device_ok(fx_k_bias_act_back(&l, (struct fx_k_array){ 0 }, vec_array(&dy), 5, 40, false,
                                 (struct fx_k_array){ 0 }, vec_grad(&d_bias, false)));
    device_ok(fx_k_bias_act_back(&l, (struct fx_k_array){ 0 }, vec_array(&dy), 5, 40, false,
                                 vec_array(&dz), (struct fx_k_grad){ 0 }));
    vec_check(&d_bias, 1e-6, "gradient of a bias alone");
    vec_check(&dz, 0, "dz alone");
    vec_close(&d_bias);
    vec_close(&dz);
    vec_close(&dy);
}

/* ---- LayerNorm ------------------------------------------------------------------------------ */

static void one_layernorm(const struct config *g)
{
    struct fx_layernorm norm = { g->rows, g->c, 1e-5f };
    struct fx_k_launch l = launch(g);
    struct vec x, weight, bias, y;

    vec_open(&x, g->n_lanes, count(g), 1);
    vec_open(&weight, g->n_lanes, (size_t)g->c, 2);
    vec_open(&bias, g->n_lanes, (size_t)g->c, 3);
    vec_open(&y, g->n_lanes, count(g), 0);
    for (int k = 0; k < g->n_lanes; k++)
        fx_layernorm_forward(&norm, vec_host(&x, k), vec_host(&weight, k), vec_host(&bias, k),
                             vec_expected(&y, k));
    device_ok(fx_k_layernorm(&l, vec_array(&x), g->rows, g->c, norm.eps, vec_array(&weight),
                             vec_array(&bias), vec_array(&y)));
    vec_check(&y, 1e-6, "LayerNorm");
    vec_close(&y);
    vec_close(&bias);
    vec_close(&weight);
    vec_close(&x);
}

static void layernorm(void **state)
{
    (void)state;
    for_all(one_layernorm);
}

static void one_layernorm_back(const struct config *g)
{
    struct fx_layernorm norm = { g->rows, g->c, 1e-5f };
    struct fx_k_launch l = launch(g);
    uint32_t old = g->flag ? 9 : 0;
    struct vec x, dy, weight, dx, d_weight, d_bias;

    vec_open(&x, g->n_lanes, count(g), 1);
    vec_open(&dy, g->n_lanes, count(g), 2);
    vec_open(&weight, g->n_lanes, (size_t)g->c, 3);
    vec_open(&dx, g->n_lanes, count(g), old);
    vec_open(&d_weight, g->n_lanes, (size_t)g->c, old);
    vec_open(&d_bias, g->n_lanes, (size_t)g->c, old);
    for (int k = 0; k < g->n_lanes; k++)
        fx_layernorm_backward(&norm, vec_host(&x, k), vec_host(&dy, k), vec_host(&weight, k),
                              vec_expected(&dx, k), vec_expected(&d_weight, k),
                              vec_expected(&d_bias, k));
    device_ok(fx_k_layernorm_back(&l, vec_array(&x), vec_array(&dy), g->rows, g->c, norm.eps,
                                  vec_array(&weight), vec_grad(&dx, g->flag),
                                  vec_grad(&d_weight, g->flag), vec_grad(&d_bias, g->flag)));
    vec_check(&dx, 2e-6, "LayerNorm, dx");
    vec_check(&d_weight, 4e-6, "LayerNorm, gradient of the weight");
    vec_check(&d_bias, 4e-6, "LayerNorm, gradient of the bias");
    vec_close(&d_bias);
    vec_close(&d_weight);
    vec_close(&dx);
    vec_close(&weight);
    vec_close(&dy);
    vec_close(&x);
}

static void layernorm_backward(void **state)
{
    (void)state;
    for_all(one_layernorm_back);
}

/* ---- sum and concatenation ------------------------------------------------------------------ */

static void one_sum(const struct config *g)
{
    size_t n = count(g);
    struct vec a, b, y, da, db, dy;
    struct fx_k_inputs in = { .n = 2 };

    vec_open(&a, 1, n, 1);
    vec_open(&b, 1, n, 2);
    vec_open(&y, 1, n, 0);
    vec_open(&dy, 1, n, 3);
    vec_open(&da, 1, n, 4);
    vec_open(&db, 1, n, 0);
    in.dx[0] = vec_grad(&da, true);
    in.dx[1] = vec_grad(&db, false);
    fx_add_forward(n, a.host, b.host, g->flag, y.expected);
    fx_add_backward(n, y.expected, dy.host, g->flag, da.expected);
    fx_add_backward(n, y.expected, dy.host, g->flag, db.expected);
    device_ok(fx_k_add_vectors(stream, a.device, b.device, y.device, n, g->flag));
    device_ok(fx_k_add_vectors_back(stream, &in, y.device, dy.device, n, g->flag));
    vec_check(&y, 0, "sum");
    vec_check(&da, 0, "sum, added gradient");
    vec_check(&db, 0, "sum, gradient");
    vec_close(&db);
    vec_close(&da);
    vec_close(&dy);
    vec_close(&y);
    vec_close(&b);
    vec_close(&a);
}

static void sum(void **state)
{
    (void)state;
    for_all(one_sum);
}

/* Three inputs, of c, 1 and 2c channels; the second has no gradient. */
static void one_concat(const struct config *g)
{
    struct fx_k_inputs in = { .n = 3, .c = { g->c, 1, 2 * g->c } };
    size_t total = 3 * (size_t)g->c + 1, offset = 0;
    struct vec x[3], dx[3], y, dy;

    vec_open(&y, 1, (size_t)g->rows * total, 0);
    vec_open(&dy, 1, (size_t)g->rows * total, 9);
    for (int k = 0; k < 3; k++) {
        size_t c = (size_t)in.c[k];

        vec_open(&x[k], 1, (size_t)g->rows * c, 1 + (uint32_t)k);
        vec_open(&dx[k], 1, (size_t)g->rows * c, g->flag ? 4 + (uint32_t)k : 0);
        in.x[k] = x[k].device;
        if (k != 1)
            in.dx[k] = vec_grad(&dx[k], g->flag);
        fx_concat_forward((size_t)g->rows, c, total, offset, x[k].host, y.expected);
        fx_concat_backward((size_t)g->rows, c, total, offset, dy.host, dx[k].expected);
        offset += c;
    }
    device_ok(fx_k_concat(stream, &in, g->rows, y.device));
    device_ok(fx_k_concat_back(stream, &in, g->rows, dy.device));
    vec_check(&y, 0, "concatenation");
    vec_check(&dx[0], 0, "concatenation, first gradient");
    vec_check(&dx[2], 0, "concatenation, last gradient");
    for (int k = 0; k < 3; k++) {
        vec_close(&dx[k]);
        vec_close(&x[k]);
    }
    vec_close(&dy);
    vec_close(&y);
}

static void concatenation(void **state)
{
    (void)state;
    for_all(one_concat);
}

/* ---- dropout -------------------------------------------------------------------------------- */

/* Two pixels (or tokens) an image; lanes are those of experts 5, 6 and 7. */
static void one_drop(const struct config *g)
{
    struct fx_k_batch batch = { .seed = 0x123456789abcdefu, .epoch = 3, .n = g->rows };
    struct fx_value_shape shape = { .tokens = 2, .c = g->c, .h = 1, .w = 1 };
    struct fx_k_launch l = launch(g);
    struct device_batch b;
    struct vec x, y, dx;

    batch_open(&b, &batch, NULL, NULL);
    struct fx_k_drop drop = { b.view, fx_rng_word(FX_RNG_DROPOUT, 5, 2), 0.3f, g->c, 2 };
    vec_open(&x, g->n_lanes, 2 * count(g), 1);
    vec_open(&y, g->n_lanes, 2 * count(g), 0);
    vec_open(&dx, g->n_lanes, 2 * count(g), g->flag ? 2 : 0);
    for (int k = 0; k < g->n_lanes; k++) {
        uint32_t word = fx_rng_word(FX_RNG_DROPOUT, 5 + (unsigned)k, 2);
        struct fx_dropout d = { batch.seed, word, batch.epoch, drop.p };

        fx_dropout_forward(&d, g->rows, shape, b.numbers, vec_host(&x, k), vec_expected(&y, k));
        fx_dropout_backward(&d, g->rows, shape, b.numbers, vec_host(&x, k), vec_expected(&dx, k));
    }
    device_ok(fx_k_drop_vector(&l, vec_array(&x), vec_array(&y), g->rows, &drop));
    device_ok(fx_k_drop_vector_back(&l, vec_array(&x), vec_grad(&dx, g->flag), g->rows, &drop));
    vec_check(&y, 0, "dropout");
    vec_check(&dx, 1e-7, "dropout, gradient");
    vec_close(&dx);
    vec_close(&y);
    vec_close(&x);
    batch_close(&b);
}

static void dropout(void **state)
{
    (void)state;
    for_all(one_drop);
}

/* p = 0 copies, and needs no batch. */
static void no_dropout(void **state)
{
    struct fx_k_launch l = { .stream = stream, .n_lanes = 1 };
    struct fx_k_drop none = { .c = 7, .area = 1 };
    struct vec x, y;

    (void)state;
    vec_open(&x, 1, 3 * 7, 1);
    vec_open(&y, 1, 3 * 7, 0);
    memcpy(y.expected, x.expected, 3 * 7 * sizeof(float));
    device_ok(fx_k_drop_vector(&l, vec_array(&x), vec_array(&y), 3, &none));
    vec_check(&y, 0, "no dropout");
    vec_close(&y);
    vec_close(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bias_and_relu),
        cmocka_unit_test(bias_and_relu_backward),
        cmocka_unit_test(bias_backward_in_part),
        cmocka_unit_test(layernorm),
        cmocka_unit_test(layernorm_backward),
        cmocka_unit_test(sum),
        cmocka_unit_test(concatenation),
        cmocka_unit_test(dropout),
        cmocka_unit_test(no_dropout),
    };

    return RUN_ON_DEVICE(tests);
}
