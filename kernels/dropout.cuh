/* Dropout on the device: the masks of lib/ops/dropout.h, bit for bit. */
#ifndef FX_KERNELS_DROPOUT_CUH
#define FX_KERNELS_DROPOUT_CUH

#include "kernels.h"

#include <cuda_runtime.h>

/* fx_philox of lib/base/philox.h: Philox4x32-10 of (counter, seed), in place. */
static __device__ __forceinline__ void fx_dropout_philox(uint32_t c[4], uint64_t seed)
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);

#pragma unroll
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c[0];
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c[1] ^ k0;
        uint32_t n2 = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;

        c[1] = (uint32_t)p1;
        c[3] = (uint32_t)p0;
        c[0] = n0;
        c[2] = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/* The random words of elements 4 * draw .. 4 * draw + 3 of an image.  d.view is filled;
 * image_number: in the data set. */
static __device__ __forceinline__ void fx_dropout_words(const fx_k_drop &d, int lane,
                                                        uint32_t image_number, uint32_t draw,
                                                        uint32_t words[4])
{
    const fx_k_batch *batch = d.view.batch;

    words[0] = d.word + ((uint32_t)lane << 16);
    words[1] = batch->epoch;
    words[2] = image_number;
    words[3] = draw;
    fx_dropout_philox(words, batch->seed);
}

/* Their factors: 0 with probability p > 0, else 1 / (1 - p). */
static __device__ __forceinline__ void fx_dropout_quad(const fx_k_drop &d, int lane,
                                                       uint32_t image_number, uint32_t draw,
                                                       float factor[4])
{
    float keep = 1.0f / (1.0f - d.p);
    uint32_t words[4];

    fx_dropout_words(d, lane, image_number, draw, words);
#pragma unroll
    for (int i = 0; i < 4; i++)
        factor[i] = (float)(words[i] >> 8) * 0x1p-24f < d.p ? 0.0f : keep;
}

/* The factor of one element. */
static __device__ __forceinline__ float fx_dropout_factor(const fx_k_drop &d, int lane,
                                                          uint32_t image_number, uint32_t element)
{
    float factor[4];

    fx_dropout_quad(d, lane, image_number, element / 4, factor);
    return element % 4 < 2 ? (element % 4 == 0 ? factor[0] : factor[1])
                           : (element % 4 == 2 ? factor[2] : factor[3]);
}

#endif
