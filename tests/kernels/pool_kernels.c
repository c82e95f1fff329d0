/* The kernels of pool.cu against lib/ops: odd heights and widths, more pixels than
 * threads and fewer, channels that fill no block. */
#include "map_memory.h"

#include "ops/operators.h"

static const int channels[] = { 1, 8, 12, 69, 136 };
static const struct size {
    int n, h, w;
} sizes[] = { { 3, 4, 6 }, { 2, 5, 7 }, { 5, 2, 3 }, { 1, 9, 8 } };

enum { N_CHANNELS = sizeof channels / sizeof *channels, N_SIZES = sizeof sizes / sizeof *sizes };

/* A test of one size. */
struct config {
    struct fx_k_launch l;
    struct size size;
    int c;
};

static void (*current)(const struct config *);

static void all_sizes(const struct fx_k_launch *l)
{
    for (int i = 0; i < N_SIZES; i++)
        for (int j = 0; j < N_CHANNELS; j++)
            current(&(struct config){ *l, sizes[i], channels[j] });
}

static void for_all(void (*test)(const struct config *))
{
    current = test;
    for_all_launches(all_sizes);
}

static int area_of(const struct config *g)
{
    return g->size.h * g->size.w;
}

static int half_area_of(const struct config *g)
{
    return (g->size.h / 2) * (g->size.w / 2);
}

static float *zeros(int n)
{
    float *values = calloc((size_t)n, sizeof *values);

    assert_non_null(values);
    return values;
}

/* ---- 2x2 ------------------------------------------------------------------------------------ */

static void avgpool_of(const struct config *g, enum way way)
{
    int n = g->size.n, h = g->size.h, w = g->size.w, small = half_area_of(g);
    struct map x, y;

    map_open(&x, &g->l, way, n * h * w, g->c, 1);
    map_open(&y, &g->l, EXACT, n * small, g->c, 0);
    for (int k = 0; k < g->l.n_lanes; k++) {
        float *from = map_planes(&x, k, h * w), *to = zeros(n * small * g->c);

        fx_avgpool2_forward(n * g->c, h, w, from, to);
        map_expect_planes(&y, k, small, to);
        free(to);
        free(from);
    }
    map_expect_padding(&y, g->c);
    device_ok(fx_k_avgpool(&g->l, &x.k, &y.k, n, h, w));
    map_check(&x, 0, "avgpool, its x");
    map_check(&y, type_tolerance(&g->l), "avgpool");
    map_close(&y);
    map_close(&x);
}

static void one_avgpool(const struct config *g)
{
    avgpool_of(g, EXACT);
    avgpool_of(g, PREFIX);
}

static void avgpool(void **state)
{
    (void)state;
    for_all(one_avgpool);
}

/* The reference adds to zeros, so what is left out has a gradient of zero. */
static void one_avgpool_back(const struct config *g)
{
    int n = g->size.n, h = g->size.h, w = g->size.w, small = half_area_of(g);
    struct map dy, dx;

    map_open(&dy, &g->l, EXACT, n * small, g->c, 1);
    map_open(&dx, &g->l, EXACT, n * h * w, g->c, 0);
    for (int k = 0; k < g->l.n_lanes; k++) {
        float *from = map_planes(&dy, k, small), *to = zeros(n * h * w * g->c);

        fx_avgpool2_backward(n * g->c, h, w, from, to);
        map_expect_planes(&dx, k, h * w, to);
        free(to);
        free(from);
    }
    map_expect_padding(&dx, g->c);
    device_ok(fx_k_avgpool_back(&g->l, &dy.k, &dx.k, n, h, w));
    map_check(&dy, 0, "avgpool back, its dy");
    map_check(&dx, 0, "avgpool back");
    map_close(&dx);
    map_close(&dy);
}

static void avgpool_backward(void **state)
{
    (void)state;
    for_all(one_avgpool_back);
}

/* ---- global --------------------------------------------------------------------------------- */

static void globalpool_of(const struct config *g, enum way way)
{
    int n = g->size.n, area = area_of(g);
    struct map x;
    struct vec y;

    map_open(&x, &g->l, way, n * area, g->c, 1);
    vec_open(&y, g->l.n_lanes, (size_t)(n * g->c), 0);
    for (int k = 0; k < g->l.n_lanes; k++) {
        float *planes = map_planes(&x, k, area);

        fx_globalpool_forward(n * g->c, area, planes, vec_expected(&y, k));
        free(planes);
    }
    device_ok(fx_k_globalpool(&g->l, &x.k, n, area, vec_array(&y)));
    map_check(&x, 0, "globalpool, its x");
    vec_check(&y, 1e-6, "globalpool");
    vec_close(&y);
    map_close(&x);
}

static void one_globalpool(const struct config *g)
{
    for (int way = 0; way < N_WAYS; way++)
        globalpool_of(g, way);
}

static void globalpool(void **state)
{
    (void)state;
    for_all(one_globalpool);
}

/* Many pixels: the threads walk, and the order of the sum is that of the launch before. */
static void one_large_globalpool(const struct fx_k_launch *l)
{
    enum { N = 2, AREA = 33 * 31, C = 72 };
    struct config g = { *l, { N, 33, 31 }, C };
    struct map x;
    struct vec y;

    globalpool_of(&g, EXACT);
    map_open(&x, l, EXACT, N * AREA, C, 1);
    vec_open(&y, l->n_lanes, (size_t)N * C, 0);
    for (int i = 0; i < 2; i++) {
        device_ok(fx_k_globalpool(l, &x.k, N, AREA, vec_array(&y)));
        if (i == 1)
            break;
        from_device(y.host, y.device, (size_t)y.n_lanes * y.lane * sizeof(float));
    }
    for (int k = 0; k < l->n_lanes; k++)
        memcpy(vec_expected(&y, k), vec_host(&y, k), y.n * sizeof(float));
    vec_check(&y, 0, "globalpool once more");
    vec_close(&y);
    map_close(&x);
}

static void large_globalpool(void **state)
{
    (void)state;
    for_all_launches(one_large_globalpool);
}

static void one_globalpool_back(const struct config *g)
{
    int n = g->size.n, area = area_of(g);
    struct vec dy;
    struct map dx;

    vec_open(&dy, g->l.n_lanes, (size_t)(n * g->c), 1);
    map_open(&dx, &g->l, EXACT, n * area, g->c, 0);
    for (int k = 0; k < g->l.n_lanes; k++) {
        float *to = zeros(n * area * g->c);

        fx_globalpool_backward(n * g->c, area, vec_host(&dy, k), to);
        map_expect_planes(&dx, k, area, to);
        free(to);
    }
    map_expect_padding(&dx, g->c);
    device_ok(fx_k_globalpool_back(&g->l, vec_array(&dy), n, area, &dx.k));
    vec_check(&dy, 0, "globalpool back, its dy");
    map_check(&dx, type_tolerance(&g->l), "globalpool back");
    map_close(&dx);
    vec_close(&dy);
}

static void globalpool_backward(void **state)
{
    (void)state;
    for_all(one_globalpool_back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(avgpool),
        cmocka_unit_test(avgpool_backward),
        cmocka_unit_test(globalpool),
        cmocka_unit_test(large_globalpool),
        cmocka_unit_test(globalpool_backward),
    };

    return RUN_ON_DEVICE(tests);
}
