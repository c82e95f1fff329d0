/* The vectors of the templates that are compiled once for each instruction set.  Who includes this
 * has defined:
 *   BLOCK   floats of a vector: 8 or 16     TARGET  function attribute with the instruction set
 *   FMA     1: the set has a fused multiply-add
 * Vectors are the compiler's own (vector_size), so the code is the same for every target. */
#ifndef FX_BACKEND_CPU_VECTOR_INTERNAL_H
#define FX_BACKEND_CPU_VECTOR_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

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

#endif
