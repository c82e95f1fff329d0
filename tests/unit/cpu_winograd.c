/* The Winograd convolutions of the cpu back end, on every instruction set of this machine, against
 * the sum that defines a convolution in double: odd channel counts and maps, groups, enough tiles
 * for several chunks; every direction with 1 to 4 threads gives the same bytes.  The errors are
 * printed; 1e-5 of the largest result is allowed, and half a unit of its own where it is bf16. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "backend/cpu/winograd_internal.h"
#include "net/blocks.h"

static const double ALLOWED = 1e-5;
enum { MAX_THREADS = 4, ALIGN = 64 };

struct sizes {
    int c_in, c_out, groups, h, w, n;
};

/* A case in C order, double, and packed. */
struct conv_case {
    struct sizes s;
    struct fx_weight_layout layout;
    double *x, *weights, *y;               /* owned; y: forward's result, or its gradient */
    float *packed_x, *packed_w, *packed_y; /* owned */
    size_t n_x, n_weights, n_y;            /* packed */
};

static const struct {
    const char *name;
    const struct fx_winograd_loops *loops;
} all_loops[] = {
    { "plain", &fx_winograd_plain },
#if defined(__x86_64__)
    { "AVX2", &fx_winograd_avx2 },
    { "AVX-512", &fx_winograd_avx512 },
    { "AVX-512, maps in bf16", &fx_winograd_avx512_bf16 },
#endif
};

static bool machine_has(const struct fx_winograd_loops *loops)
{
#if defined(__x86_64__)
    if (loops == &fx_winograd_avx2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (loops == &fx_winograd_avx512)
        return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq");
    if (loops == &fx_winograd_avx512_bf16)
        return __builtin_cpu_supports("avx512bf16");
#endif
    return loops == &fx_winograd_plain;
}

static void *aligned(size_t n_bytes)
{
    void *p = aligned_alloc(ALIGN, (n_bytes + ALIGN - 1) / ALIGN * ALIGN);

    assert_non_null(p);
    memset(p, 0, n_bytes);
    return p;
}

/* Uniform in [0, 1) for maps, as behind a ReLU, and around 0 for weights and gradients. */
static double next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(float)((double)(*state >> 40) * 0x1p-24);
}

static float float_of(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The bf16 below x: what the cases are made of, so that nothing more is rounded. */
static uint16_t half_of(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static double *random_values(size_t n, double shift, uint64_t *state)
{
    double *v = malloc(n * sizeof *v);

    assert_non_null(v);
    for (size_t i = 0; i < n; i++)
        v[i] = next_random(state) - shift;
    return v;
}

/* Where channel c of a map with `padded` channels of which each merged group has `in` begins. */
static size_t map_at(const struct conv_case *k, bool is_y, int image, int c, int pixel)
{
    const struct fx_weight_layout *l = &k->layout;
    int channels = is_y ? k->s.c_out : k->s.c_in, padded = l->merged * (is_y ? l->out : l->in);
    int per = channels / l->merged, b = l->block, area = k->s.h * k->s.w;
    int at = c / per * (is_y ? l->out : l->in) + c % per;

    return ((size_t)image * (size_t)(padded / b) + (size_t)(at / b)) * (size_t)(area * b) +
           (size_t)(pixel * b + at % b);
}

static void pack_map(const struct conv_case *k, bool is_y, const double *plain, float *packed)
{
    int channels = is_y ? k->s.c_out : k->s.c_in, area = k->s.h * k->s.w;

    for (int i = 0; i < k->s.n; i++)
        for (int c = 0; c < channels; c++)
            for (int p = 0; p < area; p++)
                packed[map_at(k, is_y, i, c, p)] = float_of(half_of((float)*plain++));
}

static size_t weight_at(const struct conv_case *k, int o, int i, int tap)
{
    const struct fx_weight_layout *l = &k->layout;
    int merge = l->groups / l->merged, per_in = l->c_in / l->groups, per_out = l->c_out / l->groups;
    int g = o / per_out, om = o - g / merge * merge * per_out, im = g % merge * per_in + i;
    int b = l->block;
    size_t ob = (size_t)(g / merge) * (size_t)(l->out / b) + (size_t)(om / b);

    return ((ob * (size_t)(l->in / b) + (size_t)(im / b)) * 9 + (size_t)tap) * (size_t)(b * b) +
           (size_t)(im % b * b + om % b);
}

static void open_case(struct conv_case *k, const struct sizes *s, int block)
{
    struct fx_node conv = { .kernel = 3, .groups = s->groups, .shape = { .c = s->c_out } };
    size_t area = (size_t)(s->h * s->w), per_in = (size_t)(s->c_in / s->groups);
    uint64_t state = 7;

    *k = (struct conv_case){ .s = *s, .layout = fx_weight_layout_of(&conv, s->c_in, block) };
    k->x = random_values((size_t)(s->n * s->c_in) * area, 0, &state);
    k->y = random_values((size_t)(s->n * s->c_out) * area, 0.5, &state);
    k->weights = random_values((size_t)s->c_out * per_in * 9, 0.5, &state);
    k->n_x = (size_t)(s->n * k->layout.merged * k->layout.in) * area;
    k->n_y = (size_t)(s->n * k->layout.merged * k->layout.out) * area;
    k->n_weights = fx_weight_floats(&k->layout);
    k->packed_x = aligned(k->n_x * sizeof(float));
    k->packed_y = aligned(k->n_y * sizeof(float));
    k->packed_w = aligned(k->n_weights * sizeof(float));
    pack_map(k, false, k->x, k->packed_x);
    pack_map(k, true, k->y, k->packed_y);
    for (int o = 0; o < s->c_out; o++)
        for (int i = 0; i < (int)per_in; i++)
            for (int tap = 0; tap < 9; tap++)
                k->packed_w[weight_at(k, o, i, tap)] =
                    (float)k->weights[((size_t)o * per_in + (size_t)i) * 9 + (size_t)tap];
}

static void close_case(struct conv_case *k)
{
    free(k->x);
    free(k->y);
    free(k->weights);
    free(k->packed_x);
    free(k->packed_y);
    free(k->packed_w);
}

/* What the direction writes, by definition, packed: every product of an input pixel, a weight and
 * an output pixel, added to the one of the three that is looked for. */
static double *by_definition(const struct conv_case *k, enum fx_conv_direction direction)
{
    const struct sizes *s = &k->s;
    int per_in = s->c_in / s->groups, per_out = s->c_out / s->groups;
    size_t n = direction == FX_CONV_FORWARD ? k->n_y
               : direction == FX_CONV_DATA  ? k->n_x
                                            : k->n_weights;
    double *sums = calloc(n, sizeof *sums);

    assert_non_null(sums);
    for (int o = 0; o < s->c_out; o++)
        for (int i = 0; i < per_in; i++)
            for (int tap = 0; tap < 9; tap++) {
                size_t w = weight_at(k, o, i, tap);
                int dy = tap / 3 - 1, dx = tap % 3 - 1, c = o / per_out * per_in + i;

                for (int image = 0; image < s->n; image++)
                    for (int p = 0; p < s->h * s->w; p++) {
                        int row = p / s->w + dy, column = p % s->w + dx;
                        size_t y = map_at(k, true, image, o, p), x;

                        if (row < 0 || row >= s->h || column < 0 || column >= s->w)
                            continue;
                        x = map_at(k, false, image, c, row * s->w + column);
                        if (direction == FX_CONV_FORWARD)
                            sums[y] += (double)k->packed_x[x] * (double)k->packed_w[w];
                        else if (direction == FX_CONV_DATA)
                            sums[x] += (double)k->packed_y[y] * (double)k->packed_w[w];
                        else
                            sums[w] += (double)k->packed_x[x] * (double)k->packed_y[y];
                    }
            }
    return sums;
}

/* A map as the loops want it, and back: the argument is freed. */
static void *map_for(const struct fx_winograd_loops *loops, const float *map, size_t n)
{
    uint16_t *halves = aligned(n * sizeof(float));

    for (size_t i = 0; i < n; i++)
        halves[i] = half_of(map[i]);
    if (loops->value_bytes == sizeof(float))
        memcpy(halves, map, n * sizeof(float));
    return halves;
}

static float *floats_of(const struct fx_winograd_loops *loops, void *map, size_t n)
{
    float *floats;

    if (loops->value_bytes == sizeof(float))
        return map;
    floats = aligned(n * sizeof *floats);
    for (size_t i = 0; i < n; i++)
        floats[i] = float_of(((uint16_t *)map)[i]);
    free(map);
    return floats;
}

/* The result of the direction in a new array, everything that it does not write checked. */
static float *run(const struct conv_case *k, const struct fx_winograd_loops *loops,
                  enum fx_conv_direction direction, int threads)
{
    const struct fx_weight_layout *l = &k->layout;
    struct fx_conv_shape shape = { .n = k->s.n,
                                   .h_in = k->s.h,
                                   .w_in = k->s.w,
                                   .h_out = k->s.h,
                                   .w_out = k->s.w,
                                   .groups = l->merged,
                                   .c_in = l->merged * l->in,
                                   .c_out = l->merged * l->out };
    struct fx_winograd plan;
    size_t n = direction == FX_CONV_FORWARD ? k->n_y
               : direction == FX_CONV_DATA  ? k->n_x
                                            : k->n_weights;
    float *result = aligned(n * sizeof *result);
    void *x = map_for(loops, k->packed_x, k->n_x), *y = map_for(loops, k->packed_y, k->n_y);
    void *workspace;

    memset(result, 0xff, n * sizeof *result); /* NaN: must be overwritten */
    fx_winograd_plan(&plan, loops, &shape, direction, threads);
    workspace = aligned(fx_winograd_workspace(&plan));
    memset(workspace, 0xff, fx_winograd_workspace(&plan));
    fx_winograd_run(&plan, direction == FX_CONV_DATA ? result : x,
                    direction == FX_CONV_WEIGHTS ? result : k->packed_w,
                    direction == FX_CONV_FORWARD ? (void *)result : y, workspace);
    free(workspace);
    free(x);
    free(y);
    return direction == FX_CONV_WEIGHTS ? result : floats_of(loops, result, n);
}

/* The largest error, of the largest result; what rounding explains is none. */
static double error_of(const float *a, const double *b, size_t n, double rounded)
{
    double worst = 0, largest = 1e-30;

    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]);

        d = d <= rounded * fabs(b[i]) ? 0 : d;

        worst = d <= worst ? worst : d; /* also a NaN */
        largest = fmax(largest, fabs(b[i]));
    }
    return worst / largest;
}

static double check(const struct conv_case *k, const struct fx_winograd_loops *loops,
                    enum fx_conv_direction direction)
{
    static const char *const names[] = { "forward", "data", "weights" };
    size_t n = direction == FX_CONV_FORWARD ? k->n_y
               : direction == FX_CONV_DATA  ? k->n_x
                                            : k->n_weights;
    double *expected = by_definition(k, direction), rounded = 0, error;
    float *first = run(k, loops, direction, 1);

    if (direction == FX_CONV_WEIGHTS && k->layout.merged != k->layout.groups)
        for (size_t i = 0; i < n; i++) /* what lies between merged groups is nobody's */
            first[i] = expected[i] == 0 ? 0 : first[i];
    if (direction != FX_CONV_WEIGHTS && loops->value_bytes < sizeof(float))
        rounded = 1.0 / 256;
    error = error_of(first, expected, n, rounded);
    if (!(error <= ALLOWED))
        fail_msg("%s %d -> %d, %d groups, %dx%d, %d images, blocks of %d: off by %.3g of the "
                 "largest, allowed %.0e",
                 names[direction], k->s.c_in, k->s.c_out, k->s.groups, k->s.h, k->s.w, k->s.n,
                 loops->block, error, ALLOWED);
    free(first);
    first = run(k, loops, direction, 1);
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        float *again = run(k, loops, direction, threads);

        assert_memory_equal(first, again, n * sizeof *first);
        free(again);
    }
    free(first);
    free(expected);
    return error;
}

static const struct sizes shapes[] = {
    { 1, 1, 1, 1, 1, 1 },    { 1, 70, 1, 5, 3, 1 },   { 70, 1, 1, 3, 9, 1 },
    { 17, 33, 1, 2, 2, 2 },  { 31, 16, 1, 9, 9, 3 },  { 16, 65, 1, 4, 8, 2 },
    { 48, 48, 1, 7, 6, 5 },  { 70, 70, 1, 8, 5, 1 },  { 64, 24, 1, 12, 4, 3 },
    { 32, 64, 2, 6, 7, 2 },  { 24, 24, 3, 5, 5, 2 },  { 64, 128, 4, 8, 4, 2 },
    { 16, 16, 8, 7, 7, 2 },  { 6, 6, 2, 5, 4, 3 },    { 8, 8, 1, 32, 32, 3 },
    { 170, 20, 1, 8, 8, 1 }, { 20, 170, 1, 8, 8, 1 }, { 8, 96, 1, 48, 46, 1 },
    { 640, 16, 1, 4, 4, 2 }, { 16, 640, 1, 4, 4, 2 }, { 2, 3, 1, 32, 32, 32 },
};

static void results_are_those_of_the_definition(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof all_loops / sizeof *all_loops; i++) {
        double worst[FX_N_CONV_DIRECTIONS] = { 0 };

        if (!machine_has(all_loops[i].loops)) {
            print_message("%s: not on this machine\n", all_loops[i].name);
            continue;
        }
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            struct conv_case k;

            open_case(&k, &shapes[s], all_loops[i].loops->block);
            for (int d = 0; d < FX_N_CONV_DIRECTIONS; d++)
                worst[d] = fmax(worst[d], check(&k, all_loops[i].loops, (enum fx_conv_direction)d));
            close_case(&k);
        }
        print_message("%s: largest error forward %.1e, data %.1e, weights %.1e\n",
                      all_loops[i].name, worst[0], worst[1], worst[2]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(results_are_those_of_the_definition) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
