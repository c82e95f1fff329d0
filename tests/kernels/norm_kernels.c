/* The kernels of BATCHNORM against lib/backend/ref, in both types, every layout of maps, for one
 * lane and for three.  The reference gets the lanes one after the other, as one image each. */
#include "norm_case.h"

#include "backend/host/dropout_mask.h"
#include "backend/ref/batchnorm.h"

static struct fx_k_launch launch(const struct config *g)
{
    return (struct fx_k_launch){ .stream = stream, .n_lanes = g->n_lanes, .bf16 = g->bf16 };
}

static struct fx_batchnorm batchnorm(const struct config *g)
{
    return (struct fx_batchnorm){ .n = 1, .c = g->c, .area = g->rows, .eps = 1e-5f, g->relu };
}

static size_t count(const struct config *g)
{
    return (size_t)g->c * (size_t)g->rows;
}

static void *allocate(size_t n, size_t size)
{
    void *memory = calloc(n, size);

    assert_non_null(memory);
    return memory;
}

/* Scratch of exactly as many bytes as the kernels ask for, with a guard behind. */
struct scratch {
    size_t n_bytes;
    char *device; /* owned */
};

enum { SCRATCH_GUARD = 64 };

static struct scratch scratch_open(const struct config *g)
{
    struct scratch s = { .n_bytes = fx_k_norm_scratch(g->rows, g->c, g->n_lanes) };

    device_ok(cudaMalloc((void **)&s.device, s.n_bytes + SCRATCH_GUARD));
    device_ok(cudaMemset(s.device, 0x5a, s.n_bytes + SCRATCH_GUARD));
    return s;
}

static void scratch_close(struct scratch *s)
{
    char guard[SCRATCH_GUARD];

    from_device(guard, s->device + s->n_bytes, SCRATCH_GUARD);
    for (int i = 0; i < SCRATCH_GUARD; i++)
        assert_int_equal(guard[i], 0x5a);
    device_ok(cudaFree(s->device));
}

/* ---- statistics ----------------------------------------------------------------------------- */

/* Mean, variance and unbiased variance, `stride` floats each; below channel `first` NaN stays.
 * precision: of the variances, relative. */
static void stats_check(const struct config *g, const struct map *x, int first, int stride,
                        const struct vec *stats, double precision)
{
    struct fx_batchnorm ref = batchnorm(g);
    double *mean = allocate((size_t)g->c, sizeof *mean), *var = allocate((size_t)g->c, sizeof *var);
    float *got = allocate((size_t)g->n_lanes * stats->lane, sizeof *got);

    from_device(got, stats->device, (size_t)g->n_lanes * stats->lane * sizeof *got);
    for (int k = 0; k < g->n_lanes; k++) {
        const float *lane = got + (size_t)k * stats->lane;

        fx_ref_batchnorm_stats(&ref, map_host(x, g, k), mean, var);
        for (int c = 0; c < 3 * stride; c++) {
            int kind = c / stride, channel = c % stride;

            if (channel < first || channel >= g->c) {
                assert_true(isnan(lane[c]));
                continue;
            }
            double expected = kind == 0   ? mean[channel]
                              : kind == 1 ? var[channel]
                                          : fx_ref_batchnorm_unbiased(&ref, var[channel]);
            double slack = kind == 0 ? 1.2e-7 * fabs(expected) + 3e-7 * sqrt(var[channel])
                                     : precision * expected;
            if (!(fabs((double)lane[c] - expected) <= slack + 1e-30))
                fail_msg("%d x %d, lane %d, channel %d: statistic %d is %.9g, expected %.9g",
                         g->rows, g->c, k, channel, kind, (double)lane[c], expected);
        }
    }
    free(got);
    free(var);
    free(mean);
}

static void stats_from(const struct config *g, struct map *x, int first, double precision)
{
    struct fx_k_launch l = launch(g);
    struct scratch scratch = scratch_open(g);
    int stride = g->c + 5;
    struct vec stats;

    vec_open(&stats, g->n_lanes, 3 * (size_t)stride, 0);
    struct fx_k_stats to = { stats.device, stats.lane, stride };
    device_ok(fx_k_norm_stats(&l, &x->map, first, g->rows, &to, scratch.device));
    stats_check(g, x, first, stride, &stats, precision);
    map_check(x, 0, false, "input of the statistics");
    vec_close(&stats);
    scratch_close(&scratch);
}

/* Of all channels, or of those behind half of them. */
static void one_statistics(const struct config *g)
{
    struct map x;

    if (g->relu || g->p > 0)
        return;
    map_open(&x, g, g->layout, 1);
    stats_from(g, &x, g->flag ? g->c / 2 : 0, 1e-6);
    map_close(&x);
}

static void statistics(void **state)
{
    (void)state;
    for_all(one_statistics);
}

/* Whatever the number of channels left, the scratch that was asked for once is enough. */
static void statistics_of_the_last_channels(void **state)
{
    struct config g = { 4100, 264, 41, .n_lanes = 1 };
    const int firsts[] = { 1, 8, 13, 200, 263 };
    struct map x;

    (void)state;
    map_open(&x, &g, PREFIX, 1);
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++)
        stats_from(&g, &x, firsts[i], 1e-6);
    map_close(&x);
}

static void statistics_far_from_zero(void **state)
{
    struct config g = { 35000, 3, 7, .n_lanes = 3 };
    struct map x;

    (void)state;
    map_open(&x, &g, SPLIT, 1);
    for (int k = 0; k < g.n_lanes; k++) {
        float *at = map_host(&x, &g, k);

        for (int r = 0; r < g.rows; r++) {
            at[0 * g.rows + r] += 1000;
            at[1 * g.rows + r] = -3e5f + 10 * at[1 * g.rows + r];
            at[2 * g.rows + r] = 0.125f;
        }
    }
    map_follow(&x);
    stats_from(&g, &x, 0, 1e-6);
    map_close(&x);
}

/* A value that is like no other costs what f32 loses in the one part of the rows that it begins. */
static void statistics_of_outliers(void **state)
{
    struct config g = { 35000, 3, 7, .n_lanes = 1 };
    struct map x;

    (void)state;
    map_open(&x, &g, EXACT, 1);
    x.host[0] = 1e4f;
    x.host[1 * g.rows + 20000] = -1e4f;
    x.host[3 * g.rows - 1] = 300;
    map_follow(&x);
    stats_from(&g, &x, 0, 6e-5);
    map_close(&x);
}

/* The same bits, however threads were scheduled. */
static void statistics_twice(void **state)
{
    struct config g = { 5000, 40, 5, .n_lanes = 3, .bf16 = true };
    struct fx_k_launch l = launch(&g);
    struct scratch scratch = scratch_open(&g);
    float *got[2];
    struct map x;

    (void)state;
    map_open(&x, &g, EXACT, 1);
    for (int i = 0; i < 2; i++) {
        struct vec stats;

        vec_open(&stats, g.n_lanes, 3 * 40, 7);
        got[i] = allocate(3 * stats.lane, sizeof(float));
        struct fx_k_stats to = { stats.device, stats.lane, 40 };
        device_ok(fx_k_norm_stats(&l, &x.map, 0, g.rows, &to, scratch.device));
        from_device(got[i], stats.device, 3 * stats.lane * sizeof(float));
        vec_close(&stats);
    }
    for (int k = 0; k < 3; k++)
        assert_memory_equal(got[0] + k * (3 * 40 + GUARD), got[1] + k * (3 * 40 + GUARD),
                            3 * 40 * sizeof(float));
    free(got[1]);
    free(got[0]);
    map_close(&x);
    scratch_close(&scratch);
}

/* ---- a norm and what it is given ------------------------------------------------------------ */

struct fixture {
    const struct config *g;
    struct fx_batchnorm ref;
    struct fx_k_norm norm;
    struct map x;
    struct vec weight, bias, mean, var;
    struct device_batch batch;
    double max_scale; /* largest |weight| / std */
};

enum { FIRST_EXPERT = 5, DROP_LAYER = 2, EPOCH = 3 };

/* Mean and variance are those of x, nearly. */
static void statistics_of_x(struct fixture *f)
{
    const struct config *g = f->g;
    double *mean = allocate((size_t)g->c, sizeof *mean), *var = allocate((size_t)g->c, sizeof *var);

    for (int k = 0; k < g->n_lanes; k++) {
        fx_ref_batchnorm_stats(&f->ref, map_host(&f->x, g, k), mean, var);
        for (int c = 0; c < g->c; c++) {
            vec_host(&f->mean, k)[c] = (float)(mean[c] + 0.01 * (c % 3));
            vec_host(&f->var, k)[c] = (float)(1.1 * var[c] + 0.001);
            f->max_scale = fmax(f->max_scale, fabs((double)vec_host(&f->weight, k)[c]) /
                                                  sqrt(1.1 * var[c] + 0.001));
        }
    }
    vec_upload(&f->mean);
    vec_upload(&f->var);
    free(var);
    free(mean);
}

static void fixture_open(struct fixture *f, const struct config *g)
{
    struct fx_k_batch batch = { .seed = 0x123456789abcdefu, .epoch = EPOCH };
    size_t c = (size_t)g->c;

    *f = (struct fixture){ .g = g, .ref = batchnorm(g) };
    batch.n = g->rows / g->area;
    batch_open(&f->batch, &batch, NULL, NULL);
    map_open(&f->x, g, g->layout, 1);
    vec_open(&f->weight, g->n_lanes, c, 2);
    vec_open(&f->bias, g->n_lanes, c, 3);
    vec_open(&f->mean, g->n_lanes, c, 4);
    vec_open(&f->var, g->n_lanes, c, 5);
    statistics_of_x(f);
    f->norm = (struct fx_k_norm){
        .weight = vec_array(&f->weight),
        .bias = vec_array(&f->bias),
        .mean = vec_array(&f->mean),
        .var = vec_array(&f->var),
        .eps = f->ref.eps,
        .relu = g->relu,
    };
    if (g->p > 0)
        f->norm.drop = (struct fx_k_drop){ f->batch.view,
                                           fx_rng_word(FX_RNG_DROPOUT, FIRST_EXPERT, DROP_LAYER),
                                           g->p, g->c, g->area };
}

static void fixture_close(struct fixture *f)
{
    vec_close(&f->var);
    vec_close(&f->mean);
    vec_close(&f->bias);
    vec_close(&f->weight);
    map_close(&f->x);
    batch_close(&f->batch);
}

/* What dropout multiplies value i of lane k by. */
static double factor(const struct fixture *f, int k, size_t i)
{
    const struct config *g = f->g;
    uint32_t c = (uint32_t)(i / (size_t)g->rows), r = (uint32_t)(i % (size_t)g->rows);
    uint32_t area = (uint32_t)g->area, word;

    if (g->p == 0)
        return 1;
    word = fx_rng_word(FX_RNG_DROPOUT, FIRST_EXPERT + (unsigned)k, DROP_LAYER);
    struct fx_dropout d = { 0x123456789abcdefu, word, EPOCH, g->p };
    return (double)fx_dropout_factor(&d, f->batch.numbers[r / area], r % area * (uint32_t)g->c + c);
}

/* Mean and variance of lane k as the reference takes them, (2, c); the caller frees them. */
static double *statistics_of(const struct fixture *f, int k)
{
    size_t n = (size_t)f->g->c;
    double *both = allocate(2 * n, sizeof *both);

    for (size_t c = 0; c < n; c++) {
        both[c] = (double)vec_host(&f->mean, k)[c];
        both[n + c] = (double)vec_host(&f->var, k)[c];
    }
    return both;
}

/* relu(norm(x)) of lane k; the caller frees it. */
static float *reference_of(const struct fixture *f, int k)
{
    float *y = allocate(count(f->g), sizeof *y);
    double *both = statistics_of(f, k);

    fx_ref_batchnorm(&f->ref, map_host(&f->x, f->g, k), both, both + f->g->c,
                     vec_host(&f->weight, k), vec_host(&f->bias, k), y);
    free(both);
    return y;
}

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
static void one_forward(const struct config *g)
{
    struct fx_k_launch l = launch(g);
    struct fixture f;
    struct map y;

    fixture_open(&f, g);
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
    fixture_close(&f);
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
        fx_ref_batchnorm_backward(&f->ref, map_host(&f->x, g, k), y, dy, both, both + g->c,
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
    device_ok(fx_k_norm_back_sums(&l, &f.x.map, &b.dy.map, g->rows, &f.norm, vec_array(&b.d_weight),
                                  vec_array(&b.d_bias), g->flag, b.coef, scratch.device));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics),
        cmocka_unit_test(statistics_of_the_last_channels),
        cmocka_unit_test(statistics_far_from_zero),
        cmocka_unit_test(statistics_of_outliers),
        cmocka_unit_test(statistics_twice),
        cmocka_unit_test(forward),
        cmocka_unit_test(not_a_number),
        cmocka_unit_test(backward),
    };

    return RUN_ON_DEVICE(tests);
}
