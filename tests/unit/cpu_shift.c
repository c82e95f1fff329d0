/* The bf16 convolutions by shifted products, with the tiles of the processor where it has them and
 * with those of plain C, against the sum that defines a convolution in double: kernels 1 and 3,
 * strides 1 and 2, odd maps, groups, an odd number of channel blocks, several chunks; every
 * direction with 1 to 4 threads gives the same bytes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "backend/cpu/shift_internal.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* Of the largest result: sums in f32 in another order; results in bf16 are rounded besides. */
static const double ALLOWED = 2e-6, ROUNDED = 1.0 / 256;
enum { MAX_THREADS = 4, ALIGN = 64, B = FX_SHIFT_BLOCK };

struct sizes {
    int c_in, c_out, groups, h, w, n, kernel, stride; /* c: all channels, whole blocks */
};

/* A case as the back end has it. */
struct conv_case {
    struct sizes s;
    struct fx_conv_shape shape;
    uint16_t *x, *y; /* owned; y: forward's result, or its gradient */
    float *weights;  /* owned */
    size_t n_x, n_y, n_weights;
};

static void *aligned(size_t n_bytes)
{
    void *p = aligned_alloc(ALIGN, (n_bytes + ALIGN - 1) / ALIGN * ALIGN);

    assert_non_null(p);
    return p;
}

static float float_of(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Values of eight bits are their own bf16. */
static float next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return ((float)(*state >> 56) - 127.5f) / 128;
}

static uint16_t *random_map(size_t n, uint64_t *state)
{
    uint16_t *v = aligned(n * sizeof *v);

    for (size_t i = 0; i < n; i++) {
        float x = roundf(next_random(state) * 64) / 64;
        uint32_t bits;

        memcpy(&bits, &x, sizeof bits);
        v[i] = (uint16_t)(bits >> 16);
    }
    return v;
}

static void open_case(struct conv_case *k, const struct sizes *s)
{
    int pad = s->kernel / 2, h_out = (s->h + 2 * pad - s->kernel) / s->stride + 1;
    int w_out = (s->w + 2 * pad - s->kernel) / s->stride + 1;
    uint64_t state = 7;

    *k = (struct conv_case){ .s = *s,
                             .shape = { .n = s->n,
                                        .h_in = s->h,
                                        .w_in = s->w,
                                        .h_out = h_out,
                                        .w_out = w_out,
                                        .kernel = s->kernel,
                                        .stride = s->stride,
                                        .pad = pad,
                                        .groups = s->groups,
                                        .c_in = s->c_in,
                                        .c_out = s->c_out } };
    k->n_x = (size_t)(s->n * s->c_in * s->h * s->w);
    k->n_y = (size_t)(s->n * s->c_out * h_out * w_out);
    k->n_weights = (size_t)(s->c_out * (s->c_in / s->groups) * s->kernel * s->kernel);
    k->x = random_map(k->n_x, &state);
    k->y = random_map(k->n_y, &state);
    k->weights = aligned(k->n_weights * sizeof *k->weights);
    for (size_t i = 0; i < k->n_weights; i++)
        k->weights[i] = roundf(next_random(&state) * 64) / 64;
}

static void close_case(struct conv_case *k)
{
    free(k->x);
    free(k->y);
    free(k->weights);
}

static size_t n_results(const struct conv_case *k, enum fx_conv_direction direction)
{
    return direction == FX_CONV_FORWARD ? k->n_y
           : direction == FX_CONV_DATA  ? k->n_x
                                        : k->n_weights;
}

static size_t map_at(int channels, int c, int area, int image, int pixel)
{
    return (size_t)(((image * (channels / B) + c / B) * area + pixel) * B + c % B);
}

/* What the direction writes, by definition: every product of an input pixel, a weight and an output
 * pixel, added to the one of the three that is looked for. */
static double *by_definition(const struct conv_case *k, enum fx_conv_direction direction)
{
    const struct fx_conv_shape *s = &k->shape;
    int in = s->c_in / s->groups, out = s->c_out / s->groups, taps = s->kernel * s->kernel;
    double *sums = calloc(n_results(k, direction), sizeof *sums);

    assert_non_null(sums);
    for (int o = 0; o < s->c_out; o++)
        for (int i = 0; i < in; i++)
            for (int tap = 0; tap < taps; tap++) {
                size_t w =
                    (size_t)(((o / B * (in / B) + i / B) * taps + tap) * B * B + i % B * B + o % B);

                for (int image = 0; image < s->n; image++)
                    for (int p = 0; p < s->h_out * s->w_out; p++) {
                        int row = p / s->w_out * s->stride + tap / s->kernel - s->pad;
                        int column = p % s->w_out * s->stride + tap % s->kernel - s->pad;
                        size_t y = map_at(s->c_out, o, s->h_out * s->w_out, image, p), x;

                        if (row < 0 || row >= s->h_in || column < 0 || column >= s->w_in)
                            continue;
                        x = map_at(s->c_in, o / out * in + i, s->h_in * s->w_in, image,
                                   row * s->w_in + column);
                        if (direction == FX_CONV_FORWARD)
                            sums[y] += (double)float_of(k->x[x]) * (double)k->weights[w];
                        else if (direction == FX_CONV_DATA)
                            sums[x] += (double)float_of(k->y[y]) * (double)k->weights[w];
                        else
                            sums[w] += (double)float_of(k->x[x]) * (double)float_of(k->y[y]);
                    }
            }
    return sums;
}

/* The result of the direction in a new array, all of it written. */
static void *run(const struct conv_case *k, const struct fx_shift_loops *loops,
                 enum fx_conv_direction direction, int threads)
{
    size_t width = direction == FX_CONV_WEIGHTS ? sizeof(float) : sizeof(uint16_t);
    size_t n_bytes = n_results(k, direction) * width;
    void *result = aligned(n_bytes), *workspace;
    struct fx_shift plan;

    memset(result, 0xff, n_bytes); /* NaN: must be overwritten */
    fx_shift_plan(&plan, loops, &k->shape, direction, threads);
    workspace = aligned(fx_shift_workspace(&plan));
    memset(workspace, 0xff, fx_shift_workspace(&plan));
    fx_shift_run(&plan, direction == FX_CONV_DATA ? result : k->x,
                 direction == FX_CONV_WEIGHTS ? result : k->weights,
                 direction == FX_CONV_FORWARD ? result : k->y, workspace);
    free(workspace);
    return result;
}

static void check_values(const struct conv_case *k, enum fx_conv_direction direction,
                         const void *got, const double *expected)
{
    static const char *const names[] = { "forward", "data", "weights" };
    bool is_f32 = direction == FX_CONV_WEIGHTS;
    size_t n = n_results(k, direction);
    double largest = 1e-30;

    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(expected[i]));
    for (size_t i = 0; i < n; i++) {
        double x = is_f32 ? (double)((float *)got)[i] : (double)float_of(((uint16_t *)got)[i]);
        double allowed = ALLOWED * largest + (is_f32 ? 0 : ROUNDED * fabs(expected[i]));

        if (!(fabs(x - expected[i]) <= allowed))
            fail_msg("%s %d -> %d, %d groups, %dx%d, %d images, kernel %d, stride %d: result %zu "
                     "is %g, not %g",
                     names[direction], k->s.c_in, k->s.c_out, k->s.groups, k->s.h, k->s.w, k->s.n,
                     k->s.kernel, k->s.stride, i, x, expected[i]);
    }
}

/* fast: NULL, or more loops for the same. */
static void check(const struct conv_case *k, const struct fx_shift_loops *fast,
                  enum fx_conv_direction direction)
{
    const struct fx_shift_loops *const loops[] = { &fx_shift_plain, fast };
    size_t width = direction == FX_CONV_WEIGHTS ? sizeof(float) : sizeof(uint16_t);
    double *expected = by_definition(k, direction);

    for (int i = 0; i < 2 && loops[i]; i++) {
        void *first = run(k, loops[i], direction, 1);

        check_values(k, direction, first, expected);
        for (int threads = 2; threads <= MAX_THREADS; threads++) {
            void *again = run(k, loops[i], direction, threads);

            assert_memory_equal(first, again, n_results(k, direction) * width);
            free(again);
        }
        free(first);
    }
    free(expected);
}

/* Those of 32x32 and more make two chunks. */
static const struct sizes shapes[] = {
    { 16, 16, 1, 1, 1, 1, 1, 1 },   { 16, 16, 1, 1, 1, 1, 3, 1 },   { 16, 48, 1, 5, 3, 1, 3, 1 },
    { 48, 16, 1, 3, 9, 2, 3, 1 },   { 48, 80, 1, 7, 6, 2, 3, 1 },   { 32, 64, 2, 6, 7, 2, 3, 1 },
    { 48, 96, 3, 4, 5, 2, 3, 1 },   { 16, 16, 1, 32, 32, 2, 3, 1 }, { 80, 48, 1, 9, 7, 3, 1, 1 },
    { 32, 32, 1, 32, 33, 2, 1, 1 }, { 16, 16, 1, 1, 1, 2, 3, 2 },   { 48, 32, 1, 7, 5, 3, 3, 2 },
    { 32, 48, 1, 8, 6, 2, 3, 2 },   { 64, 32, 2, 9, 10, 2, 3, 2 },  { 48, 16, 1, 7, 8, 3, 1, 2 },
    { 16, 16, 1, 64, 62, 2, 3, 2 }, { 64, 96, 2, 1, 4, 3, 1, 2 },
};

/* The first result of a pixel of ones for two weights: what becomes of their sum. */
static uint16_t sum_of(const struct fx_shift_loops *loops, float a, float b)
{
    static const struct sizes pixel = { B, B, 1, 1, 1, 1, 1, 1 };
    struct conv_case k;
    uint16_t *y, first;

    open_case(&k, &pixel);
    for (int i = 0; i < B; i++)
        k.x[i] = 0x3f80; /* 1 */
    memset(k.weights, 0, k.n_weights * sizeof *k.weights);
    k.weights[0] = a;
    k.weights[B] = b; /* of the second input */
    y = run(&k, loops, FX_CONV_FORWARD, 1);
    first = y[0];
    free(y);
    close_case(&k);
    return first;
}

/* The last NaN of all: a carry would make it -0. */
static void check_rounding(const struct fx_shift_loops *loops)
{
    uint32_t bits = 0x7fffffff;
    float nan;

    memcpy(&nan, &bits, sizeof nan);
    assert_int_equal(sum_of(loops, 1, 0x1p-8f), 0x3f80);
    assert_int_equal(sum_of(loops, 1 + 0x1p-7f, 0x1p-8f), 0x3f82);
    assert_int_equal(sum_of(loops, 1 + 0x1p-8f, 0), 0x3f80);
    assert_int_equal(sum_of(loops, -1 - 0x3p-8f, 0), 0xbf82);
    assert_true(isnan(float_of(sum_of(loops, nan, 0))));
    assert_true(isinf(float_of(sum_of(loops, INFINITY, 0))));
}

#if defined(__x86_64__)
/* By the processor's own word: oneDNN, which also asks the system for the tiles, stays out. */
static bool has_tiles(void)
{
    unsigned a, b, c, d;

    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1); /* AMX-BF16 */
}
#endif

/* NULL: it has none. */
static const struct fx_shift_loops *processors_loops(void)
{
#if defined(__x86_64__)
    if (has_tiles() && fx_shift_amx_allowed())
        return &fx_shift_amx;
#endif
    return NULL;
}

static void results_are_those_of_the_definition(void **state)
{
    const struct fx_shift_loops *fast = processors_loops();

    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        struct conv_case k;

        open_case(&k, &shapes[s]);
        for (int d = 0; d < FX_N_CONV_DIRECTIONS; d++)
            check(&k, fast, (enum fx_conv_direction)d);
        close_case(&k);
    }
}

static void rounding_is_to_even_and_keeps_nan(void **state)
{
    (void)state;
    check_rounding(&fx_shift_plain);
    if (!processors_loops()) {
        print_message("AMX: not on this machine\n");
        skip();
    }
    check_rounding(processors_loops());
}

/* Those with more taps or planes than a plan has room for, and those with another padding. */
static void other_convolutions_are_left_to_others(void **state)
{
    static const struct {
        int kernel, stride, pad;
        bool suits;
    } cases[] = { { 1, 2, 0, true },  { 3, 1, 1, true },  { 5, 1, 2, false },
                  { 3, 3, 1, false }, { 3, 1, 0, false }, { 1, 1, 1, false } };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fx_conv_shape s = { .kernel = cases[i].kernel,
                                   .stride = cases[i].stride,
                                   .pad = cases[i].pad };

        assert_int_equal(fx_shift_suits(&s), cases[i].suits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(results_are_those_of_the_definition),
                                        cmocka_unit_test(rounding_is_to_even_and_keeps_nan),
                                        cmocka_unit_test(other_convolutions_are_left_to_others) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
