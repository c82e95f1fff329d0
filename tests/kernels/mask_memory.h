/* Masks of dropouts for the tests of kernels: in lanes, with bytes between them that nobody may
 * touch.  A test says which channels are kept. */
#ifndef FX_TESTS_KERNELS_MASK_MEMORY_H
#define FX_TESTS_KERNELS_MASK_MEMORY_H

#include "kernel_case.h"

enum { MASK_GAP = 5, MASK_POISON = 0x5a };

struct mask {
    int n_blocks;       /* of channels */
    size_t n, n_all;    /* bytes of a lane; of all lanes, with what is around */
    uint8_t *expected;  /* owned; (n_all) */
    struct fx_k_mask k; /* k.bytes: owned */
};

static inline void mask_open(struct mask *m, int n_lanes, int rows, int c, float p)
{
    *m = (struct mask){ .n_blocks = (c + FX_K_BLOCK - 1) / FX_K_BLOCK };
    m->n = (size_t)rows * (size_t)m->n_blocks;
    m->k.lane = m->n + MASK_GAP;
    m->k.factor = 1.0f / (1.0f - p);
    m->n_all = (size_t)n_lanes * m->k.lane;
    m->expected = malloc(m->n_all);
    assert_non_null(m->expected);
    memset(m->expected, MASK_POISON, m->n_all);
    for (int k = 0; k < n_lanes; k++)
        memset(m->expected + (size_t)k * m->k.lane, 0, m->n);
    device_ok(cudaMalloc((void **)&m->k.bytes, m->n_all));
    device_ok(cudaMemset(m->k.bytes, MASK_POISON, m->n_all));
}

static inline void mask_close(struct mask *m)
{
    device_ok(cudaFree(m->k.bytes));
    free(m->expected);
}

static inline void mask_keep(struct mask *m, int k, int row, int c)
{
    size_t at = (size_t)row * (size_t)m->n_blocks + (size_t)(c / FX_K_BLOCK);

    m->expected[(size_t)k * m->k.lane + at] |= (uint8_t)(1u << c % FX_K_BLOCK);
}

/* Puts what is expected on the device. */
static inline void mask_upload(struct mask *m)
{
    device_ok(cudaMemcpy(m->k.bytes, m->expected, m->n_all, cudaMemcpyHostToDevice));
}

static inline void mask_check(const struct mask *m, const char *what)
{
    uint8_t *got = malloc(m->n_all);

    assert_non_null(got);
    from_device(got, m->k.bytes, m->n_all);
    for (size_t i = 0; i < m->n_all; i++)
        if (got[i] != m->expected[i])
            fail_msg("%s: byte %zu is %02x, expected %02x", what, i, got[i], m->expected[i]);
    free(got);
}

#endif
