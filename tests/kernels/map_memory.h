/* Maps for the tests of kernels: in every way of lying in memory that kernels.h allows, f32 or
 * bf16, in lanes, with poison around and between what belongs to them.  A test says which values it
 * expects; every other bit of the memory has to stay as it was. */
#ifndef FX_TESTS_KERNELS_MAP_MEMORY_H
#define FX_TESTS_KERNELS_MAP_MEMORY_H

#include "bf16_bits.h"
#include "kernel_case.h"

/* ---- maps ----------------------------------------------------------------------------------- */

enum way {
    EXACT,  /* nothing but the map, and zeros in its padding */
    PREFIX, /* of a wider map: poison in the rest of its last block, and behind it */
    SPLIT,  /* in groups of 16 channels with poison between them; padding as EXACT */
    N_WAYS
};

enum { POISON = 0x7fc3, GAP = 2 * FX_K_BLOCK, GROUP_C = 16 }; /* POISON: a NaN of nobody else */

struct map {
    bool bf16;
    enum way way;
    int n_lanes, rows, c;
    struct fx_k_map k;  /* k.data: owned */
    size_t n;           /* values of all lanes, with what is around */
    uint32_t *bits;     /* owned; (n) what was given to the device, of values of its type */
    uint32_t *expected; /* owned; (n) likewise */
    bool *is_expected;  /* owned; (n) a number of this size; elsewhere the very bits */
};

static inline uint32_t map_encode(const struct map *m, float x)
{
    return m->bf16 ? bf16_bits(x) : float_bits(x);
}

static inline float map_decode(const struct map *m, uint32_t bits)
{
    return bits_float(m->bf16 ? bits << 16 : bits);
}

static inline int map_padded(int c)
{
    return (c + FX_K_BLOCK - 1) / FX_K_BLOCK * FX_K_BLOCK;
}

/* Where channel c (padding included) of pixel r of lane k is. */
static inline size_t map_index(const struct map *m, int k, int r, int c)
{
    const struct fx_k_map *map = &m->k;
    size_t at = (size_t)k * map->lane + (size_t)r * (size_t)map->ld;

    if (map->group_c == 0)
        return at + (size_t)c;
    return at + (size_t)(c / map->group_c) * map->group + (size_t)(c % map->group_c);
}

static inline float map_get(const struct map *m, int k, int r, int c)
{
    return map_decode(m, m->bits[map_index(m, k, r, c)]);
}

static inline size_t map_value_bytes(const struct map *m)
{
    return m->bf16 ? sizeof(uint16_t) : sizeof(float);
}

/* The bits to the device, in values of its type. */
static inline void map_upload(const struct map *m)
{
    char *packed = malloc(m->n * map_value_bytes(m));

    assert_non_null(packed);
    for (size_t i = 0; i < m->n; i++) {
        uint16_t half = (uint16_t)m->bits[i];

        memcpy(packed + i * map_value_bytes(m), m->bf16 ? (void *)&half : (void *)&m->bits[i],
               map_value_bytes(m));
    }
    device_ok(cudaMemcpy(m->k.data, packed, m->n * map_value_bytes(m), cudaMemcpyHostToDevice));
    free(packed);
}

/* Changes a value before map_upload. */
static inline void map_set(struct map *m, int k, int r, int c, float x)
{
    m->bits[map_index(m, k, r, c)] = map_encode(m, x);
}

static inline void map_place(struct map *m)
{
    int padded = map_padded(m->c);

    m->k = (struct fx_k_map){ .c = m->c, .ld = padded };
    m->k.lane = (size_t)m->rows * (size_t)padded + GAP;
    if (m->way == PREFIX) {
        m->k.ld = padded + GAP;
        m->k.lane = (size_t)m->rows * (size_t)m->k.ld;
    } else if (m->way == SPLIT) {
        m->k.group_c = m->k.ld = GROUP_C;
        m->k.group = (size_t)m->rows * GROUP_C + GAP;
        m->k.lane = (size_t)((m->c + GROUP_C - 1) / GROUP_C) * m->k.group;
    }
    m->n = (size_t)m->n_lanes * m->k.lane;
}

/* Values by noise(seed, .); with seed 0 poison, also in the padding. */
static inline void map_open(struct map *m, const struct fx_k_launch *l, enum way way, int rows,
                            int c, uint32_t seed)
{
    *m = (struct map){ l->bf16, way, l->n_lanes, rows, c, { 0 }, 0, NULL, NULL, NULL };
    map_place(m);
    m->bits = malloc(m->n * sizeof *m->bits);
    m->expected = malloc(m->n * sizeof *m->expected);
    m->is_expected = calloc(m->n, sizeof *m->is_expected);
    assert_true(m->bits && m->expected && m->is_expected);
    for (size_t i = 0; i < m->n; i++)
        m->bits[i] = m->bf16 ? POISON : (uint32_t)POISON << 16 | 1;
    for (int k = 0; k < m->n_lanes && seed; k++) {
        for (int r = 0; r < rows; r++) {
            for (int j = 0; j < (way == PREFIX ? c : map_padded(c)); j++) {
                size_t at = map_index(m, k, r, j);

                map_set(m, k, r, j, j < c ? noise(seed, (uint32_t)at) : 0);
            }
        }
    }
    device_ok(cudaMalloc(&m->k.data, m->n * map_value_bytes(m)));
    map_upload(m);
}

static inline void map_close(struct map *m)
{
    device_ok(cudaFree(m->k.data));
    free(m->is_expected);
    free(m->expected);
    free(m->bits);
}

/* Says what a kernel has to leave at a place. */
static inline void map_expect(struct map *m, int k, int r, int c, float x)
{
    size_t at = map_index(m, k, r, c);

    m->expected[at] = map_encode(m, x);
    m->is_expected[at] = true;
}

/* Zeros behind channel c - 1 in the rest of its block. */
static inline void map_expect_padding(struct map *m, int c)
{
    for (int k = 0; k < m->n_lanes; k++)
        for (int r = 0; r < m->rows; r++)
            for (int j = c; j < map_padded(c); j++)
                map_expect(m, k, r, j, 0);
}

static inline bool map_is_close(double got, double expected, double tolerance)
{
    if (isnan(expected))
        return isnan(got);
    return fabs(got - expected) <= tolerance * fmax(1, fabs(expected));
}

/* What was expected is there, within tolerance times the larger of 1 and its size; all other bits
 * are as they were. */
static inline void map_check(const struct map *m, double tolerance, const char *what)
{
    char *got = malloc(m->n * map_value_bytes(m));

    assert_non_null(got);
    from_device(got, m->k.data, m->n * map_value_bytes(m));
    for (size_t i = 0; i < m->n; i++) {
        uint32_t bits = 0; /* of which bf16 is the first half: little endian */

        memcpy(&bits, got + i * map_value_bytes(m), map_value_bytes(m));
        double x = (double)map_decode(m, bits), expected = (double)map_decode(m, m->expected[i]);

        if (!m->is_expected[i] && bits != m->bits[i])
            fail_msg("%s: (%s, way %d, %d lanes, %d channels) wrote at %zu", what,
                     m->bf16 ? "bf16" : "f32", m->way, m->n_lanes, m->c, i);
        if (m->is_expected[i] && !map_is_close(x, expected, tolerance))
            fail_msg("%s: (%s, way %d, %d lanes, %d channels) at %zu is %.9g, expected %.9g", what,
                     m->bf16 ? "bf16" : "f32", m->way, m->n_lanes, m->c, i, x, expected);
    }
    free(got);
}

/* ---- reference order: (rows / area, c, area), which lib/backend/ref reads -------------------- */

/* Lane k's values in the reference's order; the caller frees them. */
static inline float *map_planes(const struct map *m, int k, int area)
{
    float *planes = malloc((size_t)m->rows * (size_t)m->c * sizeof *planes);

    assert_non_null(planes);
    for (int r = 0; r < m->rows; r++)
        for (int c = 0; c < m->c; c++)
            planes[(r / area * m->c + c) * area + r % area] = map_get(m, k, r, c);
    return planes;
}

/* Expects these values in lane k. */
static inline void map_expect_planes(struct map *m, int k, int area, const float *planes)
{
    for (int r = 0; r < m->rows; r++)
        for (int c = 0; c < m->c; c++)
            map_expect(m, k, r, c, planes[(r / area * m->c + c) * area + r % area]);
}

/* ---- launches ------------------------------------------------------------------------------- */

/* Runs a test in both types, for one lane and for three. */
static inline void for_all_launches(void (*test)(const struct fx_k_launch *l))
{
    for (int bf16 = 0; bf16 < 2; bf16++)
        for (int n_lanes = 1; n_lanes <= 3; n_lanes += 2)
            test(&(struct fx_k_launch){ .stream = stream, .n_lanes = n_lanes, .bf16 = bf16 });
}

/* Within this a result in f32 and one rounded to the map's type are equal. */
static inline double type_tolerance(const struct fx_k_launch *l)
{
    return l->bf16 ? 0x1p-8 : 1e-6;
}

#endif
