/* The vectors of the templates that are compiled once for each instruction set.  Who includes this
 * has defined:
 *   BLOCK   floats of a vector: 8 or 16     TARGET  function attribute with the instruction set
 *   FMA     1: the set has a fused multiply-add
 *   BF16    1: values of maps are bf16, 0: f32; not defined: there are none
 * Vectors are the compiler's own (vector_size), so the code is the same for every target. */
#ifndef FX_BACKEND_CPU_VECTOR_INTERNAL_H
#define FX_BACKEND_CPU_VECTOR_INTERNAL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

typedef float vf __attribute__((vector_size(4 * BLOCK)));
typedef int32_t vi __attribute__((vector_size(4 * BLOCK)));
typedef float vf_memory __attribute__((vector_size(4 * BLOCK), aligned(4), may_alias));

#define LOOP static inline TARGET __attribute__((always_inline))
#define ENTRY static TARGET

LOOP vf load_channels(const float *p)
{
    return *(const vf_memory *)p;
}

LOOP void store_channels(float *p, vf x)
{
    *(vf_memory *)p = x;
}

#ifdef BF16
/* ---- values of maps ---- */

#if BF16
typedef uint16_t value;
#else
typedef float value;
#endif

LOOP vf load(const value *p)
{
#if BF16
    return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p)), 16);
#else
    return *(const vf_memory *)p;
#endif
}

LOOP void store(value *p, vf x)
{
#if BF16
    __m256bh packed = _mm512_cvtneps_pbh((__m512)x);

    memcpy(p, &packed, sizeof packed);
#else
    *(vf_memory *)p = x;
#endif
}
#endif

/* x in every channel. */
LOOP vf spread(float x)
{
    return x - (vf){ 0 };
}

/* a * b + c, rounded once where the instruction set has that. */
LOOP vf multiply_add(vf a, vf b, vf c)
{
#if FMA && BLOCK == 16
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif FMA
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

/* x where keep is all ones, else 0. */
LOOP vf keep_where(vi keep, vf x)
{
    return (vf)((vi)x & keep);
}

/* Not of what is 0 or less: a NaN survives, because it must reach the loss. */
LOOP vi positive(vf x)
{
    return ~(x <= 0.0f);
}

LOOP vf relu_of(vf x)
{
    return keep_where(positive(x), x);
}

/* Lane j of the exchange between rows a and b, s apart: the lower and the upper result. */
#define LOW(s, j) ((j) & (s) ? BLOCK + (j) - (s) : (j))
#define HIGH(s, j) ((j) & (s) ? BLOCK + (j) : (j) + (s))
#define LANES8(f, s, j)                                                                            \
    f(s, j), f(s, j + 1), f(s, j + 2), f(s, j + 3), f(s, j + 4), f(s, j + 5), f(s, j + 6),         \
        f(s, j + 7)
#if BLOCK == 16
#define LANES(f, s) LANES8(f, s, 0), LANES8(f, s, 8)
#else
#define LANES(f, s) LANES8(f, s, 0)
#endif
#define EXCHANGE(s)                                                                                \
    for (int i = 0; i < BLOCK; i++)                                                                \
        if (!(i & (s))) {                                                                          \
            vf a = v[i], b = v[i + (s)];                                                           \
            v[i] = __builtin_shufflevector(a, b, LANES(LOW, s));                                   \
            v[i + (s)] = __builtin_shufflevector(a, b, LANES(HIGH, s));                            \
        }

/* BLOCK vectors: rows and columns change places. */
LOOP void turn(vf v[BLOCK])
{
    EXCHANGE(1)
    EXCHANGE(2)
    EXCHANGE(4)
#if BLOCK == 16
    EXCHANGE(8)
#endif
}

#endif
