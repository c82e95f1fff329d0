/* Images, rows and batches for the tests of the kernels that make a step's input, and the way of a
 * batch to the device. */
#ifndef FX_TESTS_KERNELS_IMAGE_CASE_H
#define FX_TESTS_KERNELS_IMAGE_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/input_internal.h"
#include "no_device.h"

static const float image_mean[3] = { 0.5071f, 0.4865f, 0.4409f };
static const float image_std[3] = { 0.2673f, 0.2564f, 0.2762f };

#define CUDA_OK(call) assert_string_equal(cudaGetErrorName(call), "cudaSuccess")

/* True where there is no device to test on; said as TAP says it, and *status is the program's. */
static bool device_missing(int *status)
{
    int n_devices = 0;
    cudaError_t error = cudaGetDeviceCount(&n_devices);

    if (error == cudaSuccess && n_devices > 0)
        return false;
    *status = no_device(cudaGetErrorString(error));
    return true;
}

/* ---- numbers -------------------------------------------------------------------------------- */

static uint32_t random_state = 1;

/* Xorshift; in [0, n). */
static uint32_t random_below(uint32_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return (uint32_t)((uint64_t)random_state * n >> 32);
}

/* ---- images --------------------------------------------------------------------------------- */

enum { NOISE, FLAT, GRADIENT, NARROW, SPARSE, GREY, COLOURS, N_LOOKS };

/* Channel c of pixel i; low <= high are the image's own. */
static int paint_value(int look, int low, int high, int i, int c)
{
    switch (look) {
    case FLAT:
        return low;
    case GRADIENT:
        return i % 32 * (3 + 2 * c) + i / 32 * 3;
    case NARROW:
        return low + (int)random_below((uint32_t)(high - low + 1));
    case SPARSE:
        return random_below(40) != 0 ? low : high;
    case COLOURS:
        return 255 * (i >> (3 + c) & 1);
    default:
        return (int)random_below(256);
    }
}

/* n images of all looks in turn, u8 (n, 3, 32, 32); the caller frees them. */
static uint8_t *paint_images(int n)
{
    uint8_t *images = malloc((size_t)n * FX_IMAGE_BYTES);

    assert_non_null(images);
    for (int k = 0; k < n; k++) {
        uint8_t *image = images + (size_t)k * FX_IMAGE_BYTES;
        int low = (int)random_below(256), high = low + (int)random_below((uint32_t)(256 - low));
        for (int i = 0; i < FX_IMAGE_BYTES; i++)
            image[i] = (uint8_t)paint_value(k % N_LOOKS, low, high, i % FX_IMAGE_PIXELS,
                                            i / FX_IMAGE_PIXELS);
        for (int c = 1; c < 3 && k % N_LOOKS == GREY; c++)
            memcpy(image + c * FX_IMAGE_PIXELS, image, FX_IMAGE_PIXELS);
    }
    return images;
}

/* ---- the way to the device ------------------------------------------------------------------ */

/* n_bytes of device memory with this content (NULL: whatever is there); cudaFree it. */
static inline void *to_device(const void *data, size_t n_bytes)
{
    void *memory;

    CUDA_OK(cudaMalloc(&memory, n_bytes));
    if (data)
        CUDA_OK(cudaMemcpy(memory, data, n_bytes, cudaMemcpyHostToDevice));
    return memory;
}

static inline void from_device(void *data, const void *memory, size_t n_bytes)
{
    CUDA_OK(cudaMemcpy(data, memory, n_bytes, cudaMemcpyDeviceToHost));
}

/* The block of a batch on the device, which has room for a few images more; cudaFree its header. */
static inline struct fx_k_batch_view send_batch(const struct fx_batch *batch)
{
    int n_max = batch->n + 5;
    void *block = calloc(1, fx_batch_block_bytes(n_max));

    assert_non_null(block);
    fx_batch_block_fill(block, n_max, batch);
    void *memory = to_device(block, fx_batch_block_bytes(n_max));
    free(block);
    return fx_batch_block_view(memory, n_max);
}

static inline void free_batch(const struct fx_k_batch_view *view)
{
    CUDA_OK(cudaFree((void *)(uintptr_t)view->batch));
}

#endif
