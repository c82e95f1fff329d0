/* The passes of BATCHNORM, forward and backward, against lib/ops, in both types, every layout of
 * maps, for one lane and for three.  The reference gets the lanes one after the other, as one image
 * each. */
#include "norm_fixture.h"

/* ---- forward -------------------------------------------------------------------------------- */

static void expect_forward(const struct fixture *f, struct map *y)
{
    for (int k = 0; k < f->g->n_lanes; k++) {
        float *result = reference_of(f, k);

        for (size_t i = 0; i < count(f->g); i++)
            map_expected(y, f->g, k)[i] = factor(f, k, i) * (double)result[i];
        free(result);
    }
}

/* Into a map of another layout, or in place. */
static void forward_by_mask(const struct config *g, bool draws)
{
    struct fx_k_launch l = launch(g);
    struct fixture f;
    struct map y;

    fixture_open(&f, g);
    if (draws)
        fixture_draw_mask(&f);
    if (g->flag) {
        expect_forward(&f, &f.x);
        device_ok(fx_k_norm_apply(&l, &f.x.map, &f.x.map, g->rows, &f.norm));
        map_check(&f.x, 3e-7 * (1 + f.max_scale), true, "norm in place");
    } else {
        map_open(&y, g, (g->layout + 1) % N_LAYOUTS, 0);
        expect_forward(&f, &y);
        device_ok(fx_k_norm_apply(&l, &f.x.map, &y.map, g->rows, &f.norm));
        map_check(&y, 3e-7 * (1 + f.max_scale), true, "norm");
        map_check(&f.x, 0, false, "input of a norm");
        map_close(&y);
    }
    if (g->p > 0)
        mask_check(&f.mask, "a norm's mask");
    fixture_close(&f);
}

static void one_forward(const struct config *g)
{
    forward_by_mask(g, false);
    if (g->p > 0)
        forward_by_mask(g, true);
}

static void forward(void **state)
{
    (void)state;
    for_all(one_forward);
}

/* A NaN is seen behind a ReLU, and only where it came in. */
static void not_a_number(void **state)
{
    struct config g = { 50, 20, 5, .n_lanes = 1, .relu = true };
    struct fx_k_launch l = launch(&g);
    struct fixture f;
    struct map y;

    (void)state;
    fixture_open(&f, &g);
    map_open(&y, &g, EXACT, 0);
    f.x.host[7 * 50 + 31] = NAN;
    map_follow(&f.x);
    expect_forward(&f, &y);
    y.expected[7 * 50 + 31] = NAN;
    device_ok(fx_k_norm_apply(&l, &f.x.map, &y.map, g.rows, &f.norm));
    map_check(&y, 3e-7 * (1 + f.max_scale), true, "norm of a NaN");
    map_close(&y);
    fixture_close(&f);
}

/* With a residual branch: the norm's own ReLU and dropout stay out of it.  y lies over the branch
 * if g->flag.  A NaN passes the ReLU of the sum. */
static void one_sum(const struct config *g)
{
    struct config bare = *g;
    struct fx_k_launch l = launch(g);
    struct map a, fresh, *y = g->flag ? &a : &fresh;
    struct fixture f;

    bare.relu = false;
    bare.p = 0;
    fixture_open(&f, &bare);
    map_open(&a, g, g->layout, 5);
    map_open(&fresh, g, (g->layout + 1) % N_LAYOUTS, 0);
    f.x.host[f.x.n_values - 1] = NAN;
    map_follow(&f.x);
    expect_forward(&f, &fresh);
    for (size_t i = 0; i < y->n_values; i++) {
        double sum = fresh.expected[i] + (double)a.host[i];

        y->expected[i] = g->relu && sum <= 0 ? 0 : sum;
    }
    f.norm.relu = true;
    f.norm.mask = (struct fx_k_mask){ f.x.map.data, .factor = 0.5f };
    device_ok(fx_k_norm_add(&l, &f.x.map, &a.map, &y->map, g->rows, &f.norm, g->relu));
    map_check(y, 3e-7 * (1 + f.max_scale), true, "norm and sum");
    map_close(&fresh);
    map_close(&a);
    fixture_close(&f);
}

static void forward_and_sum(void **state)
{
    (void)state;
    for_all(one_sum);
}

/* ---- backward ------------------------------------------------------------------------------- */

struct gradients {
    struct map dy, dx;
    struct vec d_weight, d_bias;
    float *coef; /* owned, on the device */
};

/* With g->flag everything is added to; otherwise dx takes the place of dy. */
static void gradients_open(struct gradients *b, const struct config *g)
{
    size_t c = ((size_t)g->c + 7) / 8 * 8, n_coef = 3 * c * (size_t)g->n_lanes;

    map_open(&b->dy, g, (g->layout + 1) % N_LAYOUTS, 6);
    map_open(&b->dx, g, (g->layout + 2) % N_LAYOUTS, g->flag ? 7 : 0);
    vec_open(&b->d_weight, g->n_lanes, (size_t)g->c, g->flag ? 8 : 0);
    vec_open(&b->d_bias, g->n_lanes, (size_t)g->c, g->flag ? 9 : 0);
    device_ok(cudaMalloc((void **)&b->coef, n_coef * sizeof(float)));
}

static void gradients_close(struct gradients *b)
{
    device_ok(cudaFree(b->coef));
    vec_close(&b->d_bias);
    vec_close(&b->d_weight);
    map_close(&b->dx);
    map_close(&b->dy);
}

static void expect_backward(const struct fixture *f, struct gradients *b)
{
    const struct config *g = f->g;

    for (int k = 0; k < g->n_lanes; k++) {
        float *y = reference_of(f, k), *dx = allocate(count(g), sizeof *dx);
        float *dy = allocate(count(g), sizeof *dy);
        double *both = statistics_of(f, k), *expected = map_expected(&b->dx, g, k);

        for (size_t i = 0; i < count(g); i++)
            dy[i] = (float)(factor(f, k, i) * (double)map_host(&b->dy, g, k)[i]);
        fx_batchnorm_backward(&f->ref, map_host(&f->x, g, k), y, dy, both, both + g->c,
                              vec_host(&f->weight, k), dx, vec_expected(&b->d_weight, k),
                              vec_expected(&b->d_bias, k));
        for (size_t i = 0; i < count(g); i++)
            expected[i] = (g->flag ? expected[i] : 0) + (double)dx[i];
        free(both);
        free(dy);
        free(dx);
        free(y);
    }
}

/* dx in the place of dy: what was expected of one map is expected of the other. */
static void check_in_place(const struct fixture *f, struct gradients *b, double tolerance)
{
    const struct config *g = f->g;
    struct fx_k_launch l = launch(g);

    memcpy(b->dy.expected, b->dx.expected, b->dx.n_values * sizeof *b->dx.expected);
    device_ok(fx_k_norm_back_apply(&l, &f->x.map, &b->dy.map, &b->dy.map, g->rows, &f->norm,
                                   b->coef, false));
    map_check(&b->dy, tolerance, true, "norm, dx in place of dy");
}

static void one_backward(const struct config *g)
{
    struct fx_k_launch l = launch(g);
    struct scratch scratch = scratch_open(g);
    struct gradients b;
    struct fixture f;

    fixture_open(&f, g);
    gradients_open(&b, g);
    expect_backward(&f, &b);
    device_ok(fx_k_norm_back_sums(&l, &f.x.map, &b.dy.map, NULL, g->rows, &f.norm,
                                  vec_array(&b.d_weight), vec_array(&b.d_bias), g->flag, b.coef,
                                  scratch.device));
    device_ok(fx_k_norm_back_apply(&l, &f.x.map, &b.dy.map, &b.dx.map, g->rows, &f.norm, b.coef,
                                   g->flag));
    double tolerance = 1e-6 + 6e-7 * f.max_scale, of_sums = 2e-6 + 5e-7 * sqrt(g->rows);
    vec_check(&b.d_weight, of_sums, "norm, gradient of the weight");
    vec_check(&b.d_bias, of_sums, "norm, gradient of the bias");
    map_check(&b.dx, tolerance, !g->flag, "norm, dx");
    map_check(&b.dy, 0, false, "norm, dy");
    map_check(&f.x, 0, false, "norm, x on the way back");
    if (!g->flag)
        check_in_place(&f, &b, tolerance);
    gradients_close(&b);
    fixture_close(&f);
    scratch_close(&scratch);
}

static void backward(void **state)
{
    (void)state;
    for_all(one_backward);
}

/* Behind the ReLU of a sum, which the sums apply: dy is what is left of it. */
static void one_behind_sum(const struct config *g)
{
    struct fx_k_launch l = launch(g);
    struct scratch scratch = scratch_open(g);
    struct gradients b;
    struct fixture f;
    struct map sum;

    fixture_open(&f, g);
    gradients_open(&b, g);
    map_open(&sum, g, (g->layout + 2) % N_LAYOUTS, 10);
    for (size_t i = 0; i < sum.n_values; i++)
        sum.host[i] = fmaxf(sum.host[i], 0);
    map_follow(&sum);
    for (size_t i = 0; i < sum.n_values; i++)
        if (sum.host[i] == 0)
            b.dy.expected[i] = b.dy.host[i] = 0; /* not what is uploaded */
    expect_backward(&f, &b);
    device_ok(fx_k_norm_back_sums(&l, &f.x.map, &b.dy.map, &sum.map, g->rows, &f.norm,
                                  vec_array(&b.d_weight), vec_array(&b.d_bias), g->flag, b.coef,
                                  scratch.device));
    device_ok(fx_k_norm_back_apply(&l, &f.x.map, &b.dy.map, &b.dx.map, g->rows, &f.norm, b.coef,
                                   g->flag));
    double of_sums = 2e-6 + 5e-7 * sqrt(g->rows);
    vec_check(&b.d_weight, of_sums, "norm behind a sum, gradient of the weight");
    vec_check(&b.d_bias, of_sums, "norm behind a sum, gradient of the bias");
    map_check(&b.dx, 1e-6 + 6e-7 * f.max_scale, !g->flag, "norm behind a sum, dx");
    map_check(&b.dy, 0, true, "norm behind a sum, dy");
    map_check(&sum, 0, false, "the sum on the way back");
    map_close(&sum);
    gradients_close(&b);
    fixture_close(&f);
    scratch_close(&scratch);
}

static void behind_sum(const struct config *g)
{
    if (!g->relu && g->p == 0)
        one_behind_sum(g);
}

static void backward_behind_sum(void **state)
{
    (void)state;
    for_all(behind_sum);
}

/* On few multiprocessors passes go through parts of the rows in turns, of which the last is short:
 * of one part for each of three lanes, and of three parts. */
static void passes_in_turns(void **state)
{
    struct config g = { 1234, 40, 617, .bf16 = true, .relu = true };

    (void)state;
    n_processors = 1;
    for (g.n_lanes = 1; g.n_lanes <= 3; g.n_lanes += 2) {
        one_forward(&g);
        one_sum(&g);
        one_backward(&g);
    }
    n_processors = 132;
}

/* With gradients that cancel each other: what lies between them is lost. */
static void backward_twice(void **state)
{
    struct config g = { 5000, 40, 5, .n_lanes = 3, .bf16 = true };
    struct fx_k_launch l = launch(&g);
    struct scratch scratch = scratch_open(&g);
    float *once = NULL;
    struct gradients b;
    struct fixture f;

    (void)state;
    fixture_open(&f, &g);
    gradients_open(&b, &g);
    for (int c = 0; c < g.n_lanes * g.c; c++) {
        b.dy.host[c * g.rows + 100] = 1e20f;
        b.dy.host[c * g.rows + 3000] = -1e20f;
    }
    map_follow(&b.dy);
    for (int i = 0; i < 2; i++) {
        device_ok(fx_k_norm_back_sums(&l, &f.x.map, &b.dy.map, NULL, g.rows, &f.norm,
                                      vec_array(&b.d_weight), vec_array(&b.d_bias), false, b.coef,
                                      scratch.device));
        once = once ? once : vec_got(&b.d_bias);
    }
    vec_check_same(&b.d_bias, once);
    gradients_close(&b);
    fixture_close(&f);
    scratch_close(&scratch);
}

/* Zeros in front of the ReLU let no gradient pass. */
static void backward_at_zero(void **state)
{
    struct config g = { 60, 9, 60, .n_lanes = 1, .relu = true };
    struct fx_k_launch l = launch(&g);
    struct scratch scratch = scratch_open(&g);
    struct gradients b;
    struct fixture f;

    (void)state;
    fixture_open(&f, &g);
    gradients_open(&b, &g);
    f.weight.host[4] = f.bias.host[4] = 0;
    vec_upload(&f.weight);
    vec_upload(&f.bias);
    expect_backward(&f, &b);
    assert_true(b.d_bias.expected[4] == 0);
    device_ok(fx_k_norm_back_sums(&l, &f.x.map, &b.dy.map, NULL, g.rows, &f.norm,
                                  vec_array(&b.d_weight), vec_array(&b.d_bias), false, b.coef,
                                  scratch.device));
    vec_check(&b.d_weight, 1e-5, "norm of zero, gradient of the weight");
    vec_check(&b.d_bias, 1e-5, "norm of zero, gradient of the bias");
    gradients_close(&b);
    fixture_close(&f);
    scratch_close(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward),          cmocka_unit_test(not_a_number),
        cmocka_unit_test(forward_and_sum),  cmocka_unit_test(backward),
        cmocka_unit_test(passes_in_turns),  cmocka_unit_test(backward_twice),
        cmocka_unit_test(backward_at_zero), cmocka_unit_test(backward_behind_sum),
    };

    return RUN_NORMS_ON_DEVICE(tests);
}
