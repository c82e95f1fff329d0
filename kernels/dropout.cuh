/* Dropout on the device: the masks of lib/ops/dropout.h, bit for bit. */
#ifndef FX_KERNELS_DROPOUT_CUH
#define FX_KERNELS_DROPOUT_CUH

#include "kernels.h"
#include "map_block.cuh"

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

/* The factors of elements 4 * draw .. 4 * draw + 3 of an image: 0 with probability p, else
 * 1 / (1 - p).  d.p > 0 and d.view is filled; image_number: in the data set. */
static __device__ __forceinline__ void fx_dropout_quad(const fx_k_drop &d, int lane,
                                                       uint32_t image_number, uint32_t draw,
                                                       float factor[4])
{
    const fx_k_batch *batch = d.view.batch;
    uint32_t words[4] = { d.word + ((uint32_t)lane << 16), batch->epoch, image_number, draw };
    float keep = 1.0f / (1.0f - d.p);

    fx_dropout_philox(words, batch->seed);
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

/* Dropout of a block of channels of a map. */

/* Multiplies eight channels from `first` on of pixel `row` of the batch by their factors.  Where
 * the map's channels are a multiple of four, four neighbours share a draw. */
static __device__ __forceinline__ void fx_map_drop(const fx_k_drop &drop, unsigned lane, int row,
                                                   int first, fx_map_block *block)
{
    uint32_t number = drop.view.numbers[row / drop.area];
    uint32_t element = (uint32_t)(row % drop.area) * (uint32_t)drop.c + (uint32_t)first;

    if (drop.c % 4 == 0) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float factor[4];

            fx_dropout_quad(drop, (int)lane, number, element / 4 + half, factor);
#pragma unroll
            for (int i = 0; i < 4; i++)
                block->c[4 * half + i] *= factor[i];
        }
        return;
    }
    for (int i = 0; i < FX_K_BLOCK && first + i < drop.c; i++)
        block->c[i] *= fx_dropout_factor(drop, (int)lane, number, element + (uint32_t)i);
}

#endif
