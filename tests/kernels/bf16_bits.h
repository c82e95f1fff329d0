/* bfloat16 for the tests of kernels, by the bits. */
#ifndef FX_TESTS_KERNELS_BF16_BITS_H
#define FX_TESTS_KERNELS_BF16_BITS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t float_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float bits_float(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Rounds to the nearest, ties to even; every NaN becomes 0x7fff, as on a device. */
static inline uint16_t bf16_bits(float x)
{
    uint32_t bits = float_bits(x);

    return isnan(x) ? 0x7fff : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float bf16_value(uint16_t half)
{
    return bits_float((uint32_t)half << 16);
}

static inline float bf16_round(float x)
{
    return bf16_value(bf16_bits(x));
}

#endif
