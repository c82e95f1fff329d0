/* The mask of a dropout of maps, for a pixel's block of eight channels. */
#ifndef FX_KERNELS_MASK_CUH
#define FX_KERNELS_MASK_CUH

#include "dropout.cuh"
#include "map_block.cuh"

/* The byte of the channels from `first` on of pixel `row` of the batch. */
static __device__ __forceinline__ uint8_t *fx_mask_at(const fx_k_mask &mask, unsigned lane, int row,
                                                      int first, int n_blocks)
{
    return mask.bytes + lane * mask.lane + (size_t)row * (size_t)n_blocks +
           (size_t)(first / FX_K_BLOCK);
}

/* Draws it.  Where the map's channels are a multiple of four, four neighbours share a draw. */
static __device__ __forceinline__ unsigned fx_mask_draw(const fx_k_drop &drop, unsigned lane,
                                                        int row, int first)
{
    uint32_t number = drop.view.numbers[row / drop.area];
    uint32_t element = (uint32_t)(row % drop.area) * (uint32_t)drop.c + (uint32_t)first;
    uint32_t limit = (uint32_t)ceilf(drop.p * 0x1p24f); /* u * 2^-24 < p: exactly where u < limit */
    unsigned kept = 0;
    uint32_t words[4];

    if (drop.c % 4 == 0) {
#pragma unroll
        for (int half = 0; half < FX_K_BLOCK; half += 4) {
            if (first + half >= drop.c)
                break;
            fx_dropout_words(drop, (int)lane, number, (element + (uint32_t)half) / 4, words);
#pragma unroll
            for (int i = 0; i < 4; i++)
                kept |= words[i] >> 8 < limit ? 0 : 1u << (half + i);
        }
        return kept;
    }
    for (int i = 0; i < FX_K_BLOCK && first + i < drop.c; i++)
        if (fx_dropout_factor(drop, (int)lane, number, element + (uint32_t)i) > 0.0f)
            kept |= 1u << i;
    return kept;
}

/* Multiplies by the mask's factor or by 0, which a NaN survives. */
static __device__ __forceinline__ void fx_mask_apply(unsigned kept, float factor,
                                                     fx_map_block *block)
{
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++)
        block->c[i] *= kept >> i & 1 ? factor : 0.0f;
}

#endif
