/* What the tests of kernels share: arrays that lie on the host and on the device, with guards, and
 * the batch that a step works on.  A kernel is launched on `stream`, and what it left on the device
 * is compared with what a function of lib/ops makes of the same values.
 */
#ifndef FX_TESTS_KERNELS_KERNEL_CASE_H
#define FX_TESTS_KERNELS_KERNEL_CASE_H

#include "kernels/kernels.h"
#include "no_device.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static cudaStream_t stream;

static inline void device_ok(cudaError_t error)
{
    if (error != cudaSuccess)
        fail_msg("%s", cudaGetErrorString(error));
}

/* Waits for all launches. */
static inline void finish(void)
{
    device_ok(cudaStreamSynchronize(stream));
}

/* Uniform in [-1, 1), a pure function of (seed, i). */
static inline float noise(uint32_t seed, uint32_t i)
{
    uint64_t z = ((uint64_t)seed << 32 | i) + 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u; /* splitmix64 (Steele, Lea, Flood 2014) */
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (float)((double)((z ^ (z >> 31)) >> 40) * 0x1p-23 - 1.0);
}

static inline void *to_device(const void *host, size_t n_bytes)
{
    void *device;

    device_ok(cudaMalloc(&device, n_bytes));
    device_ok(cudaMemcpy(device, host, n_bytes, cudaMemcpyHostToDevice));
    return device;
}

static inline void from_device(void *host, const void *device, size_t n_bytes)
{
    finish();
    device_ok(cudaMemcpy(host, device, n_bytes, cudaMemcpyDeviceToHost));
}

/* ---- vectors -------------------------------------------------------------------------------- */

enum { GUARD = 4 }; /* floats behind each lane that nobody may touch; keeps lanes on 16 bytes */

/* n floats in each of n_lanes lanes. */
struct vec {
    int n_lanes;
    size_t n, lane;  /* lane: floats from one lane to the next */
    uint32_t guard;  /* the bits of this vector's guards: a NaN like no other */
    float *host;     /* owned; what was given to the device, guards included */
    float *expected; /* owned; without guards, n a lane: for the reference to write or add to */
    float *device;   /* owned */
};

static inline void vec_upload(struct vec *v)
{
    device_ok(cudaMemcpy(v->device, v->host, (size_t)v->n_lanes * v->lane * sizeof(float),
                         cudaMemcpyHostToDevice));
}

/* Values by noise(seed, .), expected = values; or with seed 0 values NaN, which a kernel has to
 * overwrite, expected = 0. */
static inline void vec_open(struct vec *v, int n_lanes, size_t n, uint32_t seed)
{
    static uint32_t next_guard = 0x7fc00001u;

    *v = (struct vec){ .n_lanes = n_lanes, .n = n, .lane = (n + 3) / 4 * 4 + GUARD };
    v->guard = next_guard++;
    v->host = malloc((size_t)n_lanes * v->lane * sizeof(float));
    v->expected = malloc((size_t)n_lanes * n * sizeof(float));
    assert_true(v->host && v->expected);
    for (size_t i = 0; i < (size_t)n_lanes * v->lane; i++)
        memcpy(&v->host[i], &v->guard, sizeof v->guard);
    for (int k = 0; k < n_lanes; k++) {
        for (size_t i = 0; i < n; i++) {
            float x = noise(seed, (uint32_t)((size_t)k * n + i));

            v->host[(size_t)k * v->lane + i] = seed ? x : NAN;
            v->expected[(size_t)k * n + i] = seed ? x : 0;
        }
    }
    device_ok(cudaMalloc((void **)&v->device, (size_t)n_lanes * v->lane * sizeof(float)));
    vec_upload(v);
}

static inline void vec_close(struct vec *v)
{
    device_ok(cudaFree(v->device));
    free(v->expected);
    free(v->host);
}

static inline float *vec_host(const struct vec *v, int k)
{
    return v->host + (size_t)k * v->lane;
}

static inline float *vec_expected(const struct vec *v, int k)
{
    return v->expected + (size_t)k * v->n;
}

static inline struct fx_k_array vec_array(const struct vec *v)
{
    return (struct fx_k_array){ v->device, v->lane };
}

/* A gradient that is added to if it was opened with values. */
static inline struct fx_k_grad vec_grad(const struct vec *v, bool add)
{
    return (struct fx_k_grad){ v->device, v->lane, add };
}

/* What the device has, guards included; the caller frees it. */
static inline float *vec_got(const struct vec *v)
{
    size_t n_bytes = (size_t)v->n_lanes * v->lane * sizeof(float);
    float *got = malloc(n_bytes);

    assert_non_null(got);
    from_device(got, v->device, n_bytes);
    return got;
}

/* Its bits are those of `before`, which is freed, but for the guards. */
static inline void vec_check_same(const struct vec *v, float *before)
{
    float *got = vec_got(v);

    for (int k = 0; k < v->n_lanes; k++)
        assert_memory_equal(got + (size_t)k * v->lane, before + (size_t)k * v->lane,
                            v->n * sizeof(float));
    free(got);
    free(before);
}

/* The device's values are the expected ones, within tolerance times the larger of 1 and their size;
 * the guards are as they were. */
static inline void vec_check(struct vec *v, double tolerance, const char *what)
{
    size_t n_all = (size_t)v->n_lanes * v->lane;
    float *got = vec_got(v);

    for (size_t i = 0; i < n_all; i++) {
        size_t k = i / v->lane, at = i % v->lane;
        double expected = at < v->n ? (double)v->expected[k * v->n + at] : 0;

        if (at >= v->n && memcmp(&got[i], &v->guard, sizeof v->guard) != 0)
            fail_msg("%s: lane %zu: written behind its %zu values", what, k, v->n);
        if (at < v->n && !(fabs((double)got[i] - expected) <= tolerance * fmax(1, fabs(expected))))
            fail_msg("%s: lane %zu, value %zu is %.9g, expected %.9g", what, k, at, (double)got[i],
                     expected);
    }
    free(got);
}

/* ---- the batch ------------------------------------------------------------------------------ */

/* A batch in device memory: `host` with image numbers, partners and labels. */
struct device_batch {
    struct fx_k_batch_view view; /* owned */
    uint32_t *numbers;           /* owned; on the host */
};

static inline void batch_open(struct device_batch *b, const struct fx_k_batch *batch,
                              const uint32_t *partner, const uint8_t *labels)
{
    size_t n = (size_t)batch->n;

    *b = (struct device_batch){ .numbers = malloc(n * sizeof(uint32_t)) };
    assert_non_null(b->numbers);
    for (size_t i = 0; i < n; i++)
        b->numbers[i] = (uint32_t)(7919 * i + 13) % 50000;
    b->view.batch = to_device(batch, sizeof *batch);
    b->view.numbers = to_device(b->numbers, n * sizeof(uint32_t));
    if (partner)
        b->view.partner = to_device(partner, n * sizeof *partner);
    if (labels)
        b->view.labels = to_device(labels, n);
}

static inline void batch_close(struct device_batch *b)
{
    const void *owned[] = { b->view.batch, b->view.numbers, b->view.partner, b->view.labels };

    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        device_ok(cudaFree((void *)owned[i]));
    free(b->numbers);
}

/* ---- a test program ------------------------------------------------------------------------- */

/* Runs the tests, or says that there is no device to run them on. */
#define RUN_ON_DEVICE(tests)                                                                       \
    (device_open() ? cmocka_run_group_tests(tests, NULL, NULL) : device_missing())

/* A stream that waits for the legacy stream: cudaMemcpy may return before a small copy arrives. */
static inline bool device_open(void)
{
    int n_devices = 0;

    return cudaGetDeviceCount(&n_devices) == cudaSuccess && n_devices > 0 &&
           cudaStreamCreateWithFlags(&stream, cudaStreamDefault) == cudaSuccess;
}

static inline int device_missing(void)
{
    return no_device(cudaGetErrorString(cudaPeekAtLastError()));
}

#endif
