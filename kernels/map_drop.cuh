/* Dropout of a block of channels of a map. */
#ifndef FX_KERNELS_MAP_DROP_CUH
#define FX_KERNELS_MAP_DROP_CUH

#include "dropout.cuh"
#include "map_block.cuh"

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
