/* The backward pass of many norms on one map, in one pass each: what a norm gathers, what is
 * settled from it, and that all of it together is what the norms hand on one by one. */
#include "norm_fixture.h"

enum { D_BIAS = 3, D_WEIGHT = 4, N_ARRAYS = 5 }; /* of the statistics, behind the first three */

/* Statistics as the back end keeps them, with the gathered sums of several norms. */
struct gathered {
    int stride;
    struct vec stats;
};

static void gathered_open(struct gathered *to, const struct config *g, uint32_t seed)
{
    to->stride = g->c + 3;
    vec_open(&to->stats, g->n_lanes, N_ARRAYS * (size_t)to->stride, seed);
}

static struct fx_k_stats gathered_stats(const struct gathered *to)
{
    return (struct fx_k_stats){ to->stats.device, to->stats.lane, to->stride };
}

/* ---- gather: one norm ----------------------------------------------------------------------- */

/* A norm's gradient on its way: dy, g, and the parameters' gradients; g->flag adds to all. */
struct norm_back {
    struct map dy, g;
    struct vec d_weight, d_bias;
};

static void back_open(struct norm_back *b, const struct config *g)
{
    map_open(&b->dy, g, (g->layout + 1) % N_LAYOUTS, 6);
    map_open(&b->g, g, (g->layout + 2) % N_LAYOUTS, g->flag ? 7 : 0);
    vec_open(&b->d_weight, g->n_lanes, (size_t)g->c, g->flag ? 8 : 0);
    vec_open(&b->d_bias, g->n_lanes, (size_t)g->c, g->flag ? 9 : 0);
}

static void back_close(struct norm_back *b)
{
    vec_close(&b->d_bias);
    vec_close(&b->d_weight);
    map_close(&b->g);
    map_close(&b->dy);
}

/* Expects of lane k the gradients of channel c, and its g: weight times dy behind the dropout where
 * the result is not 0. */
static void expect_channel(const struct fixture *f, struct norm_back *b, int k, int c,
                           const float *y, double sums[2])
{
    const struct config *g = f->g;
    double mean = (double)vec_host(&f->mean, k)[c], weight = (double)vec_host(&f->weight, k)[c];
    double invstd = 1 / sqrt((double)vec_host(&f->var, k)[c] + (double)f->ref.eps);

    sums[0] = sums[1] = 0;
    for (int r = 0; r < g->rows; r++) {
        size_t i = (size_t)c * (size_t)g->rows + (size_t)r;
        double dz = factor(f, k, i) * (double)map_host(&b->dy, g, k)[i];
        double *expected = map_expected(&b->g, g, k) + i;

        dz = g->relu && y[i] <= 0 ? 0 : dz;
        sums[0] += dz;
        sums[1] += dz * ((double)map_host(&f->x, g, k)[i] - mean) * invstd;
        *expected = (g->flag ? *expected : 0) + weight * dz;
    }
    vec_expected(&b->d_bias, k)[c] += (float)sums[0];
    vec_expected(&b->d_weight, k)[c] += (float)sums[1];
}

/* The fourth and the fifth array get the weight times what this pass adds to the gradients. */
static void expect_gather(const struct fixture *f, struct norm_back *b, struct gathered *to)
{
    const struct config *g = f->g;

    for (int k = 0; k < g->n_lanes; k++) {
        float *y = reference_of(f, k), *stats = vec_expected(&to->stats, k);

        for (int c = 0; c < g->c; c++) {
            double sums[2], weight = (double)vec_host(&f->weight, k)[c];
            float *d_bias = stats + D_BIAS * to->stride + c;
            float *d_weight = stats + D_WEIGHT * to->stride + c;

            expect_channel(f, b, k, c, y, sums);
            *d_bias = (float)((g->flag ? (double)*d_bias : 0) + weight * sums[0]);
            *d_weight = (float)((g->flag ? (double)*d_weight : 0) + weight * sums[1]);
        }
        free(y);
    }
}

static void gather(const struct fixture *f, struct norm_back *b, const struct gathered *to,
                   const struct map *into)
{
    const struct config *g = f->g;
    struct fx_k_launch l = launch(g);
    struct fx_k_stats stats = gathered_stats(to);
    struct scratch scratch = scratch_open(g);

    device_ok(fx_k_norm_gather(&l, &f->x.map, &b->dy.map, &into->map, g->rows, &f->norm,
                               vec_array(&b->d_weight), vec_array(&b->d_bias), g->flag, &stats,
                               g->flag, scratch.device));
    scratch_close(&scratch);
}

static void one_gather(const struct config *g)
{
    double of_sums = 2e-6 + 5e-7 * sqrt(g->rows);
    struct gathered to;
    struct norm_back b;
    struct fixture f;

    fixture_open(&f, g);
    back_open(&b, g);
    gathered_open(&to, g, 10); /* what is not gathered stays as it was */
    expect_gather(&f, &b, &to);
    gather(&f, &b, &to, &b.g);
    vec_check(&b.d_weight, of_sums, "gather, gradient of the weight");
    vec_check(&b.d_bias, of_sums, "gather, gradient of the bias");
    vec_check(&to.stats, of_sums, "gathered sums");
    map_check(&b.g, 1e-6, !g->flag, "gathered gradient");
    map_check(&b.dy, 0, false, "gather, dy");
    map_check(&f.x, 0, false, "gather, x");
    if (!g->flag) {
        float *once = vec_got(&b.d_weight);

        memcpy(b.dy.expected, b.g.expected, b.g.n_values * sizeof *b.g.expected);
        gather(&f, &b, &to, &b.dy);
        map_check(&b.dy, 1e-6, true, "gathered gradient in place of dy");
        vec_check_same(&b.d_weight, once);
    }
    vec_close(&to.stats);
    back_close(&b);
    fixture_close(&f);
}

static void gathers(void **state)
{
    (void)state;
    for_all(one_gather);
}

/* Zeros in front of the ReLU let no gradient pass. */
static void gather_at_zero(void **state)
{
    struct config g = { 60, 9, 60, .n_lanes = 1, .relu = true };
    struct gathered to;
    struct norm_back b;
    struct fixture f;

    (void)state;
    fixture_open(&f, &g);
    back_open(&b, &g);
    gathered_open(&to, &g, 10);
    f.weight.host[4] = f.bias.host[4] = 0;
    vec_upload(&f.weight);
    vec_upload(&f.bias);
    expect_gather(&f, &b, &to);
    assert_true(b.d_bias.expected[4] == 0);
    gather(&f, &b, &to, &b.g);
    vec_check(&b.d_bias, 1e-5, "gather of zero, gradient of the bias");
    vec_close(&to.stats);
    back_close(&b);
    fixture_close(&f);
}

/* ---- settle --------------------------------------------------------------------------------- */

/* A map and what was gathered for it, any numbers, but for a variance that may be one. */
struct settle_case {
    const struct config *g;
    struct map x, gathered;
    struct gathered sums;
};

static void settle_open(struct settle_case *s, const struct config *g)
{
    *s = (struct settle_case){ .g = g };
    map_open(&s->x, g, g->layout, 11);
    map_open(&s->gathered, g, (g->layout + 1) % N_LAYOUTS, 12);
    gathered_open(&s->sums, g, 13);
    for (int k = 0; k < g->n_lanes; k++) {
        for (int c = 0; c < g->c; c++) {
            float *var = vec_host(&s->sums.stats, k) + s->sums.stride + c;

            *var = 0.05f + *var * *var;
        }
    }
    vec_upload(&s->sums.stats);
}

static void settle_close(struct settle_case *s)
{
    vec_close(&s->sums.stats);
    map_close(&s->gathered);
    map_close(&s->x);
}

/* dx of value i of lane k, which is of channel c. */
static double settled(const struct settle_case *s, int k, int c, size_t i)
{
    const float *stats = vec_host(&s->sums.stats, k) + c;
    int stride = s->sums.stride;
    double m = s->g->rows, invstd = 1 / sqrt((double)stats[stride] + 1e-5);
    double x_hat = ((double)map_host(&s->x, s->g, k)[i] - (double)stats[0]) * invstd;

    return invstd *
           ((double)map_host(&s->gathered, s->g, k)[i] - (double)stats[D_BIAS * stride] / m -
            x_hat * (double)stats[D_WEIGHT * stride] / m);
}

/* Channels first .. first + n_c - 1 into a map of their own. */
static void settle_channels(const struct settle_case *s, int first, int n_c)
{
    struct config own = *s->g;
    struct fx_k_launch l = launch(s->g);
    struct fx_k_stats stats = gathered_stats(&s->sums);
    size_t rows = (size_t)own.rows;
    struct map dx;

    own.c = n_c;
    map_open(&dx, &own, EXACT, 0);
    for (int k = 0; k < own.n_lanes; k++)
        for (int c = 0; c < n_c; c++)
            for (size_t r = 0; r < rows; r++)
                map_expected(&dx, &own, k)[(size_t)c * rows + r] =
                    settled(s, k, first + c, (size_t)(first + c) * rows + r);
    device_ok(
        fx_k_norm_settle(&l, &s->x.map, &s->gathered.map, first, &dx.map, own.rows, &stats, 1e-5f));
    map_check(&dx, 1e-5, true, "settled gradient");
    map_close(&dx);
}

/* All channels, those behind a whole block, and those behind any channel. */
static void one_settle(const struct config *g)
{
    struct settle_case s;

    if (g->relu || g->flag)
        return;
    settle_open(&s, g);
    settle_channels(&s, 0, g->c);
    if (g->c > 8)
        settle_channels(&s, 8, g->c - 8);
    if (g->c > 11 && g->layout == EXACT)
        settle_channels(&s, 5, g->c - 10);
    map_check(&s.x, 0, false, "settle, x");
    map_check(&s.gathered, 0, false, "settle, what was gathered");
    settle_close(&s);
}

static void settles(void **state)
{
    (void)state;
    for_all(one_settle);
}

/* ---- all together --------------------------------------------------------------------------- */

enum { N_NORMS = 3 };

/* What a map's norms hand on, by the reference: the sum of their gradients.  The mean and the
 * variance are those of the statistics, so they belong to the map and not to a norm. */
static void add_reference(const struct fixture *f, const struct norm_back *b, struct map *dx)
{
    const struct config *g = f->g;

    for (int k = 0; k < g->n_lanes; k++) {
        float *y = reference_of(f, k), *one = allocate(count(g), sizeof *one);
        float *unused = allocate(2 * (size_t)g->c, sizeof *unused);
        double *both = statistics_of(f, k);

        fx_batchnorm_backward(&f->ref, map_host(&f->x, g, k), y, map_host(&b->dy, g, k), both,
                              both + g->c, vec_host(&f->weight, k), one, unused, unused + g->c);
        for (size_t i = 0; i < count(g); i++)
            map_expected(dx, g, k)[i] += (double)one[i];
        free(both);
        free(unused);
        free(one);
        free(y);
    }
}

/* Mean and variance to the first two arrays; the others are gathered. */
static void give_statistics(const struct fixture *f, struct gathered *to)
{
    for (int k = 0; k < f->g->n_lanes; k++) {
        for (int c = 0; c < f->g->c; c++) {
            vec_host(&to->stats, k)[c] = vec_host(&f->mean, k)[c];
            vec_host(&to->stats, k)[to->stride + c] = vec_host(&f->var, k)[c];
        }
    }
    vec_upload(&to->stats);
}

/* Norms of different weights and gradients on one map. */
static void many_norms(void **state)
{
    struct config g = { 300, 20, 25, .n_lanes = 3, .relu = true };
    struct fx_k_launch l = launch(&g);
    struct gathered to;
    struct map sum, dx;
    struct fixture f;

    (void)state;
    fixture_open(&f, &g);
    gathered_open(&to, &g, 0);
    give_statistics(&f, &to);
    map_open(&sum, &g, EXACT, 0);
    map_open(&dx, &g, EXACT, 0);
    for (size_t i = 0; i < dx.n_values; i++)
        dx.expected[i] = 0;
    for (int n = 0; n < N_NORMS; n++) {
        struct norm_back b;

        g.flag = n > 0; /* the first norm writes, the others add */
        back_open(&b, &g);
        for (size_t i = 0; i < b.dy.n_values; i++)
            b.dy.host[i] = noise(20 + (uint32_t)n, (uint32_t)i);
        map_follow(&b.dy);
        for (size_t i = 0; i < (size_t)g.n_lanes * f.weight.lane; i++)
            f.weight.host[i] += 0.25f;
        vec_upload(&f.weight);
        add_reference(&f, &b, &dx);
        gather(&f, &b, &to, &sum);
        back_close(&b);
    }
    struct fx_k_stats stats = gathered_stats(&to);
    device_ok(fx_k_norm_settle(&l, &f.x.map, &sum.map, 0, &dx.map, g.rows, &stats, f.ref.eps));
    map_check(&dx, 1e-5, true, "what three norms hand on");
    map_close(&dx);
    map_close(&sum);
    vec_close(&to.stats);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gathers),
        cmocka_unit_test(gather_at_zero),
        cmocka_unit_test(settles),
        cmocka_unit_test(many_norms),
    };

    return RUN_NORMS_ON_DEVICE(tests);
}
