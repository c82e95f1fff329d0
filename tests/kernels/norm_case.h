/* Maps for the tests of the norm's kernels: every layout that a back end makes, with a NaN in each
 * place that is nobody's or somebody else's. */
#ifndef FX_TESTS_KERNELS_NORM_CASE_H
#define FX_TESTS_KERNELS_NORM_CASE_H

#include "bf16_bits.h"
#include "kernel_case.h"

/* EXACT: ld is padded c.  PREFIX: the first channels of a wider map.  SPLIT: groups of 16 channels.
 */
enum layout { EXACT, PREFIX, SPLIT, N_LAYOUTS };

/* What a test is about. */
struct config {
    int rows, c, area; /* area divides rows */
    int n_lanes;
    bool bf16;
    enum layout layout;
    bool relu, flag; /* flag: add, accumulate */
    float p;
};

/* Whose a place is: >= 0 the number of a value, (lane, channel, row) as lib/ops has them.
 */
enum { OTHERS = -1, PADDING = -2 };

struct map {
    struct fx_k_map map; /* data: owned */
    bool bf16;
    size_t n, n_values; /* places; values */
    int *owner;         /* owned, n */
    float *host;        /* owned, n_values: what the map was given, bf16 values if bf16 */
    double *expected;   /* owned, n_values */
};

enum { POISON_F32 = 0x7fc0beef, POISON_BF16 = 0x7fce };

static inline size_t value_bytes(const struct map *m)
{
    return m->bf16 ? sizeof(uint16_t) : sizeof(float);
}

static inline void put_value(const struct map *m, void *places, size_t i, float value)
{
    if (m->bf16)
        ((uint16_t *)places)[i] = bf16_bits(value);
    else
        ((float *)places)[i] = value;
}

static inline float get_value(const struct map *m, const void *places, size_t i)
{
    return m->bf16 ? bf16_value(((const uint16_t *)places)[i]) : ((const float *)places)[i];
}

static inline bool is_poison(const struct map *m, const void *places, size_t i)
{
    uint32_t bits;

    if (m->bf16)
        return ((const uint16_t *)places)[i] == POISON_BF16;
    memcpy(&bits, (const float *)places + i, sizeof bits);
    return bits == POISON_F32;
}

/* Lanes, groups and rows all have something behind them that is not theirs. */
static inline void map_lay_out(struct map *m, const struct config *g, enum layout layout)
{
    int padded = (g->c + FX_K_BLOCK - 1) / FX_K_BLOCK * FX_K_BLOCK;
    size_t rows = (size_t)g->rows;

    m->map.c = g->c;
    m->map.group_c = layout == SPLIT ? 16 : 0;
    m->map.ld = layout == SPLIT ? 16 : layout == PREFIX ? padded + 24 : padded;
    m->map.group = layout == SPLIT ? rows * 16 + 40 : 0;
    size_t n_groups = layout == SPLIT ? (size_t)(padded + 15) / 16 : 1;
    m->map.lane = n_groups * (m->map.group ? m->map.group : rows * (size_t)m->map.ld) + 32;
    m->n = (size_t)g->n_lanes * m->map.lane;
    m->owner = malloc(m->n * sizeof *m->owner);
    assert_non_null(m->owner);
    for (size_t i = 0; i < m->n; i++)
        m->owner[i] = OTHERS;
    for (int k = 0; k < g->n_lanes; k++) {
        for (int c = 0; c < padded; c++) {
            size_t group = m->map.group_c ? (size_t)(c / m->map.group_c) * m->map.group : 0;
            int within = m->map.group_c ? c % m->map.group_c : c;

            for (int r = 0; r < g->rows; r++)
                m->owner[(size_t)k * m->map.lane + group + (size_t)(r * m->map.ld + within)] =
                    c < g->c ? (k * g->c + c) * g->rows + r : PADDING;
        }
    }
}

/* Puts host on the device, poison everywhere else. */
static inline void map_upload(struct map *m)
{
    void *places = malloc(m->n * value_bytes(m));
    const uint32_t poison = POISON_F32;

    assert_non_null(places);
    for (size_t i = 0; i < m->n; i++) {
        if (m->owner[i] >= 0)
            put_value(m, places, i, m->host[m->owner[i]]);
        else if (m->bf16)
            ((uint16_t *)places)[i] = POISON_BF16;
        else
            memcpy((float *)places + i, &poison, sizeof poison);
    }
    device_ok(cudaMemcpy(m->map.data, places, m->n * value_bytes(m), cudaMemcpyHostToDevice));
    free(places);
}

/* Values by noise(seed, .), expected = values; with seed 0 all are NaN. */
static inline void map_open(struct map *m, const struct config *g, enum layout layout,
                            uint32_t seed)
{
    *m = (struct map){ .bf16 = g->bf16 };
    map_lay_out(m, g, layout);
    m->n_values = (size_t)g->n_lanes * (size_t)g->rows * (size_t)g->c;
    m->host = malloc(m->n_values * sizeof *m->host);
    m->expected = malloc(m->n_values * sizeof *m->expected);
    assert_true(m->host && m->expected);
    for (size_t i = 0; i < m->n_values; i++) {
        float value = seed ? noise(seed, (uint32_t)i) : NAN;

        m->host[i] = g->bf16 ? bf16_value(bf16_bits(value)) : value;
        m->expected[i] = (double)m->host[i];
    }
    device_ok(cudaMalloc(&m->map.data, m->n * value_bytes(m)));
    map_upload(m);
}

/* After a change to host: so is what is on the device and what is expected. */
static inline void map_follow(struct map *m)
{
    for (size_t i = 0; i < m->n_values; i++)
        m->expected[i] = (double)m->host[i];
    map_upload(m);
}

static inline void map_close(struct map *m)
{
    device_ok(cudaFree(m->map.data));
    free(m->expected);
    free(m->host);
    free(m->owner);
}

/* The values of lane k, (c, rows). */
static inline float *map_host(const struct map *m, const struct config *g, int k)
{
    return m->host + (size_t)k * (size_t)g->c * (size_t)g->rows;
}

static inline double *map_expected(const struct map *m, const struct config *g, int k)
{
    return m->expected + (size_t)k * (size_t)g->c * (size_t)g->rows;
}

/* The device's values are the expected ones: NaN is NaN, others within tolerance times the larger
 * of 1 and their size, plus half a place of bf16.  Padding is zero if `clears`, and otherwise as it
 * was; what belongs to others is as it was. */
static inline void map_check(const struct map *m, double tolerance, bool clears, const char *what)
{
    void *got = malloc(m->n * value_bytes(m));

    assert_non_null(got);
    from_device(got, m->map.data, m->n * value_bytes(m));
    for (size_t i = 0; i < m->n; i++) {
        double value = (double)get_value(m, got, i);

        if (m->owner[i] >= 0) {
            double expected = m->expected[m->owner[i]], size = fabs(expected);
            double slack = tolerance * fmax(1, size) + (m->bf16 ? 0x1.01p-8 * size : 0);

            if (isnan(expected) ? !isnan(value) : !(fabs(value - expected) <= slack))
                fail_msg("%s: value %d is %.9g, expected %.9g", what, m->owner[i], value, expected);
        } else if (m->owner[i] == PADDING && clears) {
            if (value != 0)
                fail_msg("%s: padding at %zu is %g", what, i, value);
        } else if (!is_poison(m, got, i)) {
            fail_msg("%s: written to place %zu, which is not its own", what, i);
        }
    }
    free(got);
}

/* ---- sizes and configurations --------------------------------------------------------------- */

/* One row; odd numbers; several chunks of channels; more than 32 parts of the rows. */
static const struct {
    int rows, c, area;
} sizes[] = {
    { 1, 3, 1 },     { 2, 8, 1 },     { 37, 12, 37 },  { 300, 20, 25 }, { 6, 2048, 3 },
    { 98, 520, 49 }, { 950, 100, 5 }, { 999, 264, 9 }, { 35000, 3, 7 },
};

static inline void for_all(void (*test)(const struct config *))
{
    int n = 0;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int bf16 = 0; bf16 < 2; bf16++) {
            for (int n_lanes = 1; n_lanes <= 3; n_lanes += 2, n++) {
                struct config g = { sizes[i].rows, sizes[i].c, sizes[i].area, n_lanes,
                                    .bf16 = bf16 };

                g.layout = (enum layout)(n % N_LAYOUTS);
                for (int variant = 0; variant < 4; variant++) {
                    g.relu = variant & 1;
                    g.flag = variant >> 1;
                    g.p = variant == n % 4 || variant == 3 - n % 4 ? 0.3f : 0;
                    test(&g);
                }
            }
        }
    }
}

#endif
