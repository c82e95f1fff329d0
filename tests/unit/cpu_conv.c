/* The convolutions of the cpu back end by Winograd and by matrix products, on every instruction set
 * of this machine, against the sum that defines a convolution in double: odd channel counts and
 * maps, groups, strides, a norm of the input, enough pixels for several chunks; every direction
 * with 1 to 4 threads gives the same bytes.  The errors are printed; 1e-5 of the largest result is
 * allowed, and half a unit of its own where it is bf16. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "backend/cpu/im2col_internal.h"
#include "backend/cpu/winograd_internal.h"
#include "net/blocks.h"

static const double ALLOWED = 1e-5;
enum { MAX_THREADS = 4, ALIGN = 64 };

struct sizes {
    int c_in, c_out, groups, h, w, n;
    int kernel, stride; /* pad: kernel / 2 */
};

/* A case in C order, double; then packed for blocks of so many channels. */
struct conv_case {
    struct sizes s;
    bool has_norm;
    int h_out, w_out;
    double *x, *normed, *weights, *y;       /* owned; y: forward's result, or its gradient */
    double *expected[FX_N_CONV_DIRECTIONS]; /* owned */
    struct fx_weight_layout layout;
    float *packed_x, *packed_w, *packed_y; /* owned */
    float *scale, *shift;                  /* owned; of x, in whole blocks */
    size_t n_x, n_weights, n_y;            /* packed */
};

/* A way to compute: by one of the two kinds of loops. */
struct way {
    const char *name;
    const struct fx_winograd_loops *winograd;
    const struct fx_im2col_loops *im2col;
};

static const struct way ways[] = {
    { "Winograd, plain", &fx_winograd_plain, NULL },
    { "products, plain", NULL, &fx_im2col_plain },
#if defined(__x86_64__)
    { "Winograd, AVX2", &fx_winograd_avx2, NULL },
    { "products, AVX2", NULL, &fx_im2col_avx2 },
    { "Winograd, AVX-512", &fx_winograd_avx512, NULL },
    { "products, AVX-512", NULL, &fx_im2col_avx512 },
    { "Winograd, AVX-512, maps in bf16", &fx_winograd_avx512_bf16, NULL },
#endif
};
enum { N_WAYS = sizeof ways / sizeof *ways };

static int block_of(const struct way *way)
{
    return way->winograd ? way->winograd->block : way->im2col->block;
}

static size_t value_bytes(const struct way *way)
{
    return way->winograd ? way->winograd->value_bytes : sizeof(float);
}

static bool machine_has(const struct way *way)
{
    (void)way;
#if defined(__x86_64__)
    if (value_bytes(way) < sizeof(float))
        return __builtin_cpu_supports("avx512bf16");
    if (way->winograd == &fx_winograd_avx2 || way->im2col == &fx_im2col_avx2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (block_of(way) == 16)
        return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq");
#endif
    return true;
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
        v[i] = (double)float_of(half_of((float)(next_random(state) - shift)));
    return v;
}

static int taps(const struct conv_case *k)
{
    return k->s.kernel * k->s.kernel;
}

/* Values of x, of y and of the weights in C order. */
static size_t n_plain(const struct conv_case *k, enum fx_conv_direction written)
{
    const struct sizes *s = &k->s;

    if (written == FX_CONV_FORWARD)
        return (size_t)(s->n * s->c_out * k->h_out * k->w_out);
    if (written == FX_CONV_DATA)
        return (size_t)(s->n * s->c_in * s->h * s->w);
    return (size_t)(s->c_out * (s->c_in / s->groups) * taps(k));
}

static float scale_of(int c)
{
    return c % 3 == 0 ? 0.75f : 1.25f;
}

static float shift_of(int c)
{
    return (float)(c % 5) * 0.25f - 0.5f;
}

/* The product of every input pixel, weight and output pixel that belong together, added to the one
 * of the three that is looked for. */
static void define(struct conv_case *k, int o, int i, int tap)
{
    const struct sizes *s = &k->s;
    int per_in = s->c_in / s->groups, c = o / (s->c_out / s->groups) * per_in + i;
    size_t w = (size_t)((o * per_in + i) * taps(k) + tap);
    int dy = tap / s->kernel - s->kernel / 2, dx = tap % s->kernel - s->kernel / 2;

    for (int image = 0; image < s->n; image++)
        for (int p = 0; p < k->h_out * k->w_out; p++) {
            int row = p / k->w_out * s->stride + dy, column = p % k->w_out * s->stride + dx;
            size_t y = (size_t)((image * s->c_out + o) * k->h_out * k->w_out + p), x;

            if (row < 0 || row >= s->h || column < 0 || column >= s->w)
                continue;
            x = (size_t)(((image * s->c_in + c) * s->h + row) * s->w + column);
            k->expected[FX_CONV_FORWARD][y] += k->normed[x] * k->weights[w];
            k->expected[FX_CONV_DATA][x] += k->y[y] * k->weights[w];
            k->expected[FX_CONV_WEIGHTS][w] += k->normed[x] * k->y[y];
        }
}

static void open_case(struct conv_case *k, const struct sizes *s, bool has_norm)
{
    uint64_t state = 7;

    *k = (struct conv_case){ .s = *s, .has_norm = has_norm };
    k->h_out = (s->h - 1) / s->stride + 1;
    k->w_out = (s->w - 1) / s->stride + 1;
    k->x = random_values(n_plain(k, FX_CONV_DATA), 0, &state);
    k->y = random_values(n_plain(k, FX_CONV_FORWARD), 0.5, &state);
    k->weights = random_values(n_plain(k, FX_CONV_WEIGHTS), 0.5, &state);
    k->normed = random_values(n_plain(k, FX_CONV_DATA), 0, &state);
    for (size_t i = 0; i < n_plain(k, FX_CONV_DATA); i++) {
        int c = (int)i / (s->h * s->w) % s->c_in;
        float product = (float)k->x[i] * scale_of(c), z = product + shift_of(c);

        k->normed[i] = !has_norm ? k->x[i] : z > 0 ? (double)z : 0;
    }
    for (int d = 0; d < FX_N_CONV_DIRECTIONS; d++) {
        k->expected[d] = calloc(n_plain(k, (enum fx_conv_direction)d), sizeof(double));
        assert_non_null(k->expected[d]);
    }
    for (int o = 0; o < s->c_out; o++)
        for (int i = 0; i < s->c_in / s->groups; i++)
            for (int tap = 0; tap < taps(k); tap++)
                define(k, o, i, tap);
}

static void close_case(struct conv_case *k)
{
    for (int d = 0; d < FX_N_CONV_DIRECTIONS; d++)
        free(k->expected[d]);
    free(k->x);
    free(k->normed);
    free(k->y);
    free(k->weights);
}

/* ---- packed ---- */

/* Where a value of x or y lies, of maps with `padded` channels of which a merged group has `in`. */
static size_t map_at(const struct conv_case *k, bool is_y, size_t plain)
{
    const struct fx_weight_layout *l = &k->layout;
    int channels = is_y ? k->s.c_out : k->s.c_in, padded = l->merged * (is_y ? l->out : l->in);
    int area = is_y ? k->h_out * k->w_out : k->s.h * k->s.w, b = l->block;
    int pixel = (int)plain % area, c = (int)plain / area % channels;
    int image = (int)plain / area / channels, per = channels / l->merged;
    int at = c / per * (is_y ? l->out : l->in) + c % per;

    return ((size_t)image * (size_t)(padded / b) + (size_t)(at / b)) * (size_t)(area * b) +
           (size_t)(pixel * b + at % b);
}

static size_t weight_at(const struct conv_case *k, size_t plain)
{
    const struct fx_weight_layout *l = &k->layout;
    int merge = l->groups / l->merged, per_in = l->c_in / l->groups, per_out = l->c_out / l->groups;
    int tap = (int)plain % taps(k), i = (int)plain / taps(k) % per_in;
    int o = (int)plain / taps(k) / per_in, g = o / per_out;
    int om = o - g / merge * merge * per_out, im = g % merge * per_in + i, b = l->block;
    size_t ob = (size_t)(g / merge) * (size_t)(l->out / b) + (size_t)(om / b);

    return ((ob * (size_t)(l->in / b) + (size_t)(im / b)) * (size_t)taps(k) + (size_t)tap) *
               (size_t)(b * b) +
           (size_t)(im % b * b + om % b);
}

static size_t packed_at(const struct conv_case *k, enum fx_conv_direction written, size_t plain)
{
    return written == FX_CONV_WEIGHTS ? weight_at(k, plain)
                                      : map_at(k, written == FX_CONV_FORWARD, plain);
}

static size_t n_packed(const struct conv_case *k, enum fx_conv_direction written)
{
    return written == FX_CONV_FORWARD ? k->n_y : written == FX_CONV_DATA ? k->n_x : k->n_weights;
}

static float *pack(const struct conv_case *k, enum fx_conv_direction written, const double *plain)
{
    float *packed = aligned(n_packed(k, written) * sizeof *packed);

    for (size_t i = 0; i < n_plain(k, written); i++)
        packed[packed_at(k, written, i)] = (float)plain[i];
    return packed;
}

static void pack_case(struct conv_case *k, int block)
{
    const struct sizes *s = &k->s;
    struct fx_node conv = { .kernel = s->kernel, .groups = s->groups, .shape = { .c = s->c_out } };
    size_t channels;

    k->layout = fx_weight_layout_of(&conv, s->c_in, block);
    channels = (size_t)(k->layout.merged * k->layout.in);
    k->n_x = (size_t)(s->n * s->h * s->w) * channels;
    k->n_y = (size_t)(s->n * k->h_out * k->w_out * k->layout.merged * k->layout.out);
    k->n_weights = fx_weight_floats(&k->layout);
    k->packed_x = pack(k, FX_CONV_DATA, k->x);
    k->packed_y = pack(k, FX_CONV_FORWARD, k->y);
    k->packed_w = pack(k, FX_CONV_WEIGHTS, k->weights);
    k->scale = aligned(channels * sizeof(float));
    k->shift = aligned(channels * sizeof(float));
    for (int c = 0; c < s->c_in; c++) {
        k->scale[c] = scale_of(c);
        k->shift[c] = shift_of(c);
    }
}

static void free_packed(struct conv_case *k)
{
    free(k->packed_x);
    free(k->packed_y);
    free(k->packed_w);
    free(k->scale);
    free(k->shift);
}

/* A map as the loops want it, and back: the argument is freed. */
static void *map_for(const struct way *way, const float *map, size_t n)
{
    uint16_t *halves = aligned(n * sizeof(float));

    for (size_t i = 0; i < n; i++)
        halves[i] = half_of(map[i]);
    if (value_bytes(way) == sizeof(float))
        memcpy(halves, map, n * sizeof(float));
    return halves;
}

static float *floats_of(const struct way *way, void *map, size_t n)
{
    float *floats;

    if (value_bytes(way) == sizeof(float))
        return map;
    floats = aligned(n * sizeof *floats);
    for (size_t i = 0; i < n; i++)
        floats[i] = float_of(((uint16_t *)map)[i]);
    free(map);
    return floats;
}

static struct fx_conv_shape shape_of(const struct conv_case *k)
{
    const struct fx_weight_layout *l = &k->layout;

    return (struct fx_conv_shape){ .n = k->s.n,
                                   .block = l->block,
                                   .groups = l->merged,
                                   .c_in = l->merged * l->in,
                                   .c_out = l->merged * l->out,
                                   .h_in = k->s.h,
                                   .w_in = k->s.w,
                                   .h_out = k->h_out,
                                   .w_out = k->w_out,
                                   .kernel = k->s.kernel,
                                   .stride = k->s.stride,
                                   .pad = k->s.kernel / 2,
                                   .x_image = k->n_x / (size_t)k->s.n };
}

static void run_way(const struct conv_case *k, const struct way *way,
                    enum fx_conv_direction direction, int threads, void *x, float *weights, void *y)
{
    struct fx_conv_shape shape = shape_of(k);
    struct fx_conv_norm norm = { k->has_norm ? k->scale : NULL, k->shift };
    struct fx_winograd winograd;
    struct fx_im2col im2col;
    size_t bytes;
    void *workspace;

    if (way->winograd)
        fx_winograd_plan(&winograd, way->winograd, &shape, direction, threads);
    else
        fx_im2col_plan(&im2col, way->im2col, &shape, direction, threads);
    bytes = way->winograd ? fx_winograd_workspace(&winograd) : fx_im2col_workspace(&im2col);
    workspace = aligned(bytes);
    memset(workspace, 0xff, bytes);
    if (way->winograd)
        fx_winograd_run(&winograd, direction == FX_CONV_DATA ? &(struct fx_conv_norm){ 0 } : &norm,
                        x, weights, y, workspace);
    else
        fx_im2col_run(&im2col, &norm, x, weights, y, workspace);
    free(workspace);
}

/* The result of the direction in a new array. */
static float *run(const struct conv_case *k, const struct way *way,
                  enum fx_conv_direction direction, int threads)
{
    size_t n = n_packed(k, direction);
    float *result = aligned(n * sizeof *result);
    void *x = map_for(way, k->packed_x, k->n_x), *y = map_for(way, k->packed_y, k->n_y);

    memset(result, 0xff, n * sizeof *result); /* NaN: must be overwritten */
    run_way(k, way, direction, threads, direction == FX_CONV_DATA ? (void *)result : x,
            direction == FX_CONV_WEIGHTS ? result : k->packed_w,
            direction == FX_CONV_FORWARD ? (void *)result : y);
    free(x);
    free(y);
    return direction == FX_CONV_WEIGHTS ? result : floats_of(way, result, n);
}

/* The largest error, of the largest result; what rounding explains is none. */
static double error_of(const float *a, const float *b, size_t n, double rounded)
{
    double worst = 0, largest = 1e-30;

    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]), size = fabs((double)b[i]);

        d = d <= rounded * size ? 0 : d;
        worst = d <= worst ? worst : d; /* also a NaN */
        largest = fmax(largest, size);
    }
    return worst / largest;
}

static double check(const struct conv_case *k, const struct way *way,
                    enum fx_conv_direction direction)
{
    static const char *const names[] = { "forward", "data", "weights" };
    bool rounds = direction != FX_CONV_WEIGHTS && value_bytes(way) < sizeof(float);
    size_t n = n_packed(k, direction);
    float *expected = pack(k, direction, k->expected[direction]);
    float *first = run(k, way, direction, 1), *again;
    double error;

    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        again = run(k, way, direction, threads);
        assert_memory_equal(first, again, n * sizeof *first);
        free(again);
    }
    if (direction == FX_CONV_WEIGHTS && k->layout.merged != k->layout.groups)
        for (size_t i = 0; i < n; i++) /* what lies between merged groups is nobody's */
            first[i] = expected[i] == 0 ? 0 : first[i];
    error = error_of(first, expected, n, rounds ? 1.0 / 256 : 0);
    if (!(error <= ALLOWED))
        fail_msg("%s: %s %dx%d/%d %d -> %d, %d groups, %dx%d, %d images: off by %.3g of the "
                 "largest, allowed %.0e",
                 way->name, names[direction], k->s.kernel, k->s.kernel, k->s.stride, k->s.c_in,
                 k->s.c_out, k->s.groups, k->s.h, k->s.w, k->s.n, error, ALLOWED);
    free(first);
    free(expected);
    return error;
}

static const struct sizes shapes[] = {
    { 1, 1, 1, 1, 1, 1, 3, 1 },    { 1, 70, 1, 5, 3, 1, 3, 1 },   { 70, 1, 1, 3, 9, 1, 3, 1 },
    { 17, 33, 1, 2, 2, 2, 3, 1 },  { 31, 16, 1, 9, 9, 3, 3, 1 },  { 16, 65, 1, 4, 8, 2, 3, 1 },
    { 48, 48, 1, 7, 6, 5, 3, 1 },  { 70, 70, 1, 8, 5, 1, 3, 1 },  { 64, 24, 1, 12, 4, 3, 3, 1 },
    { 32, 64, 2, 6, 7, 2, 3, 1 },  { 24, 24, 3, 5, 5, 2, 3, 1 },  { 64, 128, 4, 8, 4, 2, 3, 1 },
    { 16, 16, 8, 7, 7, 2, 3, 1 },  { 6, 6, 2, 5, 4, 3, 3, 1 },    { 8, 8, 1, 32, 32, 3, 3, 1 },
    { 170, 20, 1, 8, 8, 1, 3, 1 }, { 20, 170, 1, 8, 8, 1, 3, 1 }, { 8, 96, 1, 48, 46, 1, 3, 1 },
    { 640, 16, 1, 4, 4, 2, 3, 1 }, { 16, 640, 1, 4, 4, 2, 3, 1 }, { 2, 3, 1, 32, 32, 32, 3, 1 },
};

/* Not for Winograd. */
static const struct sizes product_shapes[] = {
    { 1, 1, 1, 1, 1, 1, 1, 1 },      { 70, 33, 1, 5, 3, 1, 1, 1 },   { 300, 17, 1, 4, 4, 3, 1, 1 },
    { 17, 300, 1, 16, 16, 2, 1, 1 }, { 33, 70, 1, 1, 200, 2, 1, 1 }, { 24, 40, 1, 7, 9, 2, 1, 2 },
    { 1, 70, 1, 2, 2, 1, 3, 2 },     { 70, 1, 1, 9, 5, 3, 3, 2 },    { 48, 96, 3, 8, 6, 2, 3, 2 },
    { 12, 12, 4, 11, 13, 2, 3, 2 },  { 40, 20, 1, 9, 9, 1, 5, 1 },
};

/* Every way with blocks of so many channels. */
static void check_ways(struct conv_case *k, int block, bool only_products,
                       double (*worst)[FX_N_CONV_DIRECTIONS])
{
    pack_case(k, block);
    for (int i = 0; i < N_WAYS; i++)
        for (int d = 0; d < FX_N_CONV_DIRECTIONS; d++) {
            enum fx_conv_direction direction = (enum fx_conv_direction)d;

            if (block_of(&ways[i]) == block && machine_has(&ways[i]) &&
                (ways[i].winograd ? !only_products : direction != FX_CONV_DATA))
                worst[i][d] = fmax(worst[i][d], check(k, &ways[i], direction));
        }
    free_packed(k);
}

static void check_shapes(const struct sizes *sizes, size_t n, bool only_products,
                         double (*worst)[FX_N_CONV_DIRECTIONS])
{
    for (size_t i = 0; i < n; i++) {
        struct conv_case k;

        open_case(&k, &sizes[i], i % 2);
        check_ways(&k, 8, only_products, worst);
        check_ways(&k, 16, only_products, worst);
        close_case(&k);
    }
}

static void results_are_those_of_the_definition(void **state)
{
    double worst[N_WAYS][FX_N_CONV_DIRECTIONS] = { 0 };

    (void)state;
    check_shapes(shapes, sizeof shapes / sizeof *shapes, false, worst);
    check_shapes(product_shapes, sizeof product_shapes / sizeof *product_shapes, true, worst);
    for (int i = 0; i < N_WAYS; i++)
        print_message("%s: %s; largest error forward %.1e, data %.1e, weights %.1e\n", ways[i].name,
                      machine_has(&ways[i]) ? "checked" : "not on this machine", worst[i][0],
                      worst[i][1], worst[i][2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(results_are_those_of_the_definition) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
