/* The statistics of BATCHNORM against lib/ops, in both types, every layout of maps, for one lane
 * and for three.  The reference gets the lanes one after the other, as one image each. */
#include "norm_fixture.h"

/* Of variances, relative: of few rows the pivot may lie two deviations from the mean, so that the
 * squares about it, rounded with or without fused multiply-adds, are several times the variance. */
static const double VARIANCE_PRECISION = 3e-6;

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

        fx_batchnorm_stats(&ref, map_host(x, g, k), mean, var);
        for (int c = 0; c < 3 * stride; c++) {
            int kind = c / stride, channel = c % stride;

            if (channel < first || channel >= g->c) {
                assert_true(isnan(lane[c]));
                continue;
            }
            double expected = kind == 0   ? mean[channel]
                              : kind == 1 ? var[channel]
                                          : fx_batchnorm_unbiased(&ref, var[channel]);
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
    stats_from(g, &x, g->flag ? g->c / 2 : 0, VARIANCE_PRECISION);
    map_close(&x);
}

static void statistics(void **state)
{
    (void)state;
    for_all(one_statistics);
}

/* Whatever the number of channels left, the scratch that was asked for once is enough: 65 blocks
 * of them are cut into fewer parts of rows than 64. */
static void statistics_of_the_last_channels(void **state)
{
    struct config g = { 410, 520, 41, .n_lanes = 1 };
    const int firsts[] = { 1, 8, 13, 456, 519 };
    struct map x;

    (void)state;
    map_open(&x, &g, PREFIX, 1);
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++)
        stats_from(&g, &x, firsts[i], VARIANCE_PRECISION);
    map_close(&x);
}

/* Blocks of threads of the sums of a large map on n multiprocessors: each leaves two doubles a
 * channel. */
static int count_blocks(const struct config *g, int n)
{
    enum { CHANNELS = 64 }; /* of a block */
    int chunks = (g->c + CHANNELS - 1) / CHANNELS;

    n_processors = n;
    struct fx_k_launch l = launch(g);
    return (int)(fx_k_norm_scratch(&l, g->rows, g->c) / ((size_t)g->c * 2 * sizeof(double))) *
           chunks;
}

/* As many blocks as three a multiprocessor, or a few less, and no second turn; then the sums are
 * right for other devices, too. */
static void blocks_follow_the_multiprocessors(void **state)
{
    static const int processors[] = { 1, 14, 108, 114, 132 };
    const struct config large = { 1 << 21, 128, 1 << 10, .n_lanes = 4 };
    const struct config g = { 35000, 16, 7, .n_lanes = 2 };

    (void)state;
    for (size_t i = 0; i < sizeof processors / sizeof *processors; i++) {
        int n = count_blocks(&large, processors[i]), slots = 3 * processors[i];
        struct map x;

        assert_true(n <= (slots < 8 ? 8 : slots) && n > slots - 8);
        map_open(&x, &g, EXACT, 1);
        stats_from(&g, &x, 0, VARIANCE_PRECISION);
        map_close(&x);
    }
    n_processors = processors[4];
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
    stats_from(&g, &x, 0, VARIANCE_PRECISION);
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

/* What is not finite is seen in all statistics of its channel, and in no other. */
static void statistics_not_finite(void **state)
{
    struct config g = { 300, 12, 300, .n_lanes = 1 };
    struct fx_k_launch l = launch(&g);
    struct scratch scratch = scratch_open(&g);
    float got[3 * 12];
    struct vec stats;
    struct map x;

    (void)state;
    map_open(&x, &g, EXACT, 1);
    x.host[2 * 300 + 123] = NAN;
    x.host[5 * 300 + 299] = INFINITY;
    x.host[8 * 300] = -INFINITY;
    map_follow(&x);
    vec_open(&stats, 1, 3 * 12, 0);
    struct fx_k_stats to = { stats.device, stats.lane, 12 };
    device_ok(fx_k_norm_stats(&l, &x.map, 0, g.rows, &to, scratch.device));
    from_device(got, stats.device, sizeof got);
    for (int i = 0; i < 3 * 12; i++)
        assert_int_equal(!isfinite(got[i]), i % 12 == 2 || i % 12 == 5 || i % 12 == 8);
    vec_close(&stats);
    map_close(&x);
    scratch_close(&scratch);
}

/* The same bits, in whatever order blocks of threads end. */
static void statistics_twice(void **state)
{
    struct config g = { 5000, 40, 5, .n_lanes = 3, .bf16 = true };
    struct fx_k_launch l = launch(&g);
    struct scratch scratch = scratch_open(&g);
    struct vec stats;
    struct map x;

    (void)state;
    map_open(&x, &g, EXACT, 1);
    vec_open(&stats, g.n_lanes, 3 * 40, 7);
    struct fx_k_stats to = { stats.device, stats.lane, 40 };
    device_ok(fx_k_norm_stats(&l, &x.map, 0, g.rows, &to, scratch.device));
    float *once = vec_got(&stats);
    device_ok(fx_k_norm_stats(&l, &x.map, 0, g.rows, &to, scratch.device));
    vec_check_same(&stats, once);
    vec_close(&stats);
    map_close(&x);
    scratch_close(&scratch);
}

/* Channels `first` .. of x are to be `from`, for the statistics and in the end. */
static void expect_copy(const struct config *g, struct map *x, int first, const struct config *own,
                        const struct map *from)
{
    size_t n = count(own), at = (size_t)first * (size_t)g->rows;

    for (int k = 0; k < g->n_lanes; k++)
        for (size_t i = 0; i < n; i++)
            map_expected(x, g, k)[at + i] =
                (double)(map_host(x, g, k)[at + i] = map_host(from, own, k)[i]);
}

/* Whole blocks, all of a map or those behind half of them, are copied on the way. */
static void one_copied(const struct config *g)
{
    int first = g->flag ? g->c / 16 * 8 : 0, stride = g->c + 5;
    struct fx_k_launch l = launch(g);
    struct config own = *g;
    struct map x, from;
    struct vec stats;

    own.c = g->c - first;
    if (g->relu || g->c % 8 != 0)
        return;
    struct scratch scratch = scratch_open(g);
    map_open(&x, g, g->layout, 1);
    map_open(&from, &own, EXACT, 2);
    vec_open(&stats, g->n_lanes, 3 * (size_t)stride, 0);
    struct fx_k_stats to = { stats.device, stats.lane, stride };
    expect_copy(g, &x, first, &own, &from);
    device_ok(fx_k_norm_stats_copy(&l, &from.map, &x.map, first, g->rows, &to, scratch.device));
    stats_check(g, &x, first, stride, &stats, VARIANCE_PRECISION);
    map_check(&x, 0, false, "what statistics copy");
    map_check(&from, 0, false, "what statistics copy from");
    vec_close(&stats);
    map_close(&from);
    map_close(&x);
    scratch_close(&scratch);
}

static void statistics_of_copies(void **state)
{
    (void)state;
    for_all(one_copied);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics),
        cmocka_unit_test(statistics_of_the_last_channels),
        cmocka_unit_test(blocks_follow_the_multiprocessors),
        cmocka_unit_test(statistics_far_from_zero),
        cmocka_unit_test(statistics_of_outliers),
        cmocka_unit_test(statistics_not_finite),
        cmocka_unit_test(statistics_twice),
        cmocka_unit_test(statistics_of_copies),
    };

    return RUN_NORMS_ON_DEVICE(tests);
}
