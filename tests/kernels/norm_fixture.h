/* A norm for the tests of its kernels: a map, parameters, statistics, a batch, the mask of a
 * dropout, and what lib/ops makes of them. */
#ifndef FX_TESTS_KERNELS_NORM_FIXTURE_H
#define FX_TESTS_KERNELS_NORM_FIXTURE_H

#include "mask_memory.h"
#include "norm_case.h"

#include "ops/dropout.h"
#include "ops/operators.h"

/* Tickets of all launches of a test program: zeros. */
static unsigned *tickets;
enum { TICKET_BYTES = 4096 };

static inline int tickets_open(void **state)
{
    (void)state;
    return cudaMalloc((void **)&tickets, TICKET_BYTES) != cudaSuccess ||
           cudaMemset(tickets, 0, TICKET_BYTES) != cudaSuccess;
}

static inline int tickets_close(void **state)
{
    (void)state;
    return cudaFree(tickets) != cudaSuccess;
}

#define RUN_NORMS_ON_DEVICE(tests)                                                                 \
    (device_open() ? cmocka_run_group_tests(tests, tickets_open, tickets_close) : device_missing())

/* Multiprocessors that launches are made for, whatever the device has. */
static int n_processors = 132;

static inline struct fx_k_launch launch(const struct config *g)
{
    assert_true(fx_k_norm_tickets(g->c, g->n_lanes) <= TICKET_BYTES);
    return (struct fx_k_launch){ stream, g->n_lanes, n_processors, g->bf16, tickets };
}

static inline struct fx_batchnorm batchnorm(const struct config *g)
{
    return (struct fx_batchnorm){ .n = 1, .c = g->c, .area = g->rows, .eps = 1e-5f, g->relu };
}

static inline size_t count(const struct config *g)
{
    return (size_t)g->c * (size_t)g->rows;
}

static inline void *allocate(size_t n, size_t size)
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

static inline struct scratch scratch_open(const struct config *g)
{
    struct fx_k_launch l = launch(g);
    struct scratch s = { .n_bytes = fx_k_norm_scratch(&l, g->rows, g->c) };

    device_ok(cudaMalloc((void **)&s.device, s.n_bytes + SCRATCH_GUARD));
    device_ok(cudaMemsetAsync(s.device, 0x5a, s.n_bytes + SCRATCH_GUARD, stream));
    return s;
}

static inline void scratch_close(struct scratch *s)
{
    char guard[SCRATCH_GUARD];

    from_device(guard, s->device + s->n_bytes, SCRATCH_GUARD);
    for (int i = 0; i < SCRATCH_GUARD; i++)
        assert_int_equal(guard[i], 0x5a);
    device_ok(cudaFree(s->device));
}

/* ---- a norm and what it is given ------------------------------------------------------------ */

struct fixture {
    const struct config *g;
    struct fx_batchnorm ref;
    struct fx_k_norm norm;
    struct map x;
    struct vec weight, bias, mean, var;
    struct device_batch batch;
    struct mask mask; /* if g->p > 0 */
    double max_scale; /* largest |weight| / std */
};

enum { FIRST_EXPERT = 5, DROP_LAYER = 2, EPOCH = 3 };

/* Mean and variance are those of x, nearly. */
static inline void statistics_of_x(struct fixture *f)
{
    const struct config *g = f->g;
    double *mean = allocate((size_t)g->c, sizeof *mean), *var = allocate((size_t)g->c, sizeof *var);

    for (int k = 0; k < g->n_lanes; k++) {
        fx_batchnorm_stats(&f->ref, map_host(&f->x, g, k), mean, var);
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

/* What dropout multiplies value i of lane k by. */
static inline double factor(const struct fixture *f, int k, size_t i)
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

/* The mask is on the device already. */
static inline void fixture_open_mask(struct fixture *f)
{
    const struct config *g = f->g;

    mask_open(&f->mask, g->n_lanes, g->rows, g->c, g->p);
    for (int k = 0; k < g->n_lanes; k++)
        for (size_t i = 0; i < count(g); i++)
            if (factor(f, k, i) > 0)
                mask_keep(&f->mask, k, (int)(i % (size_t)g->rows), (int)(i / (size_t)g->rows));
    mask_upload(&f->mask);
    f->norm.mask = f->mask.k;
}

/* Now it is not, and drawn where it is applied. */
static inline void fixture_draw_mask(struct fixture *f)
{
    device_ok(cudaMemset(f->mask.k.bytes, MASK_POISON, f->mask.n_all));
    f->norm.mask.draw =
        (struct fx_k_drop){ f->batch.view, fx_rng_word(FX_RNG_DROPOUT, FIRST_EXPERT, DROP_LAYER),
                            f->g->p, f->g->c, f->g->area };
}

static inline void fixture_open(struct fixture *f, const struct config *g)
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
        fixture_open_mask(f);
}

static inline void fixture_close(struct fixture *f)
{
    vec_close(&f->var);
    vec_close(&f->mean);
    vec_close(&f->bias);
    vec_close(&f->weight);
    map_close(&f->x);
    batch_close(&f->batch);
    if (f->g->p > 0)
        mask_close(&f->mask);
}

/* Mean and variance of lane k as the reference takes them, (2, c); the caller frees them. */
static inline double *statistics_of(const struct fixture *f, int k)
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
static inline float *reference_of(const struct fixture *f, int k)
{
    float *y = allocate(count(f->g), sizeof *y);
    double *both = statistics_of(f, k);

    fx_batchnorm_forward(&f->ref, map_host(&f->x, f->g, k), both, both + f->g->c,
                         vec_host(&f->weight, k), vec_host(&f->bias, k), y);
    free(both);
    return y;
}

#endif
