/* bfloat16 as kernels use it: storage of 16 bits, arithmetic in float, rounding to the nearest even
 * value.  Every NaN becomes 0x7fff, as on a device. */
#ifndef CUDA_SIM_CUDA_BF16_H
#define CUDA_SIM_CUDA_BF16_H

#ifndef __cplusplus
struct __nv_bfloat16 {
    unsigned short __x;
};
typedef struct __nv_bfloat16 __nv_bfloat16;
#else

#include <stdint.h>
#include <string.h>

namespace cuda_sim
{

inline unsigned short bf16_bits(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return 0x7fff;
    return (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

inline float bf16_value(unsigned short bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;

    memcpy(&value, &wide, sizeof value);
    return value;
}

} // namespace cuda_sim

struct __nv_bfloat16 {
    unsigned short __x;

    __nv_bfloat16() = default;
    __nv_bfloat16(float value) : __x(cuda_sim::bf16_bits(value))
    {
    }
    operator float() const
    {
        return cuda_sim::bf16_value(__x);
    }
};

struct __nv_bfloat162 {
    __nv_bfloat16 x, y;
} __attribute__((aligned(4)));

typedef __nv_bfloat16 nv_bfloat16;
typedef __nv_bfloat162 nv_bfloat162;

inline __nv_bfloat16 __float2bfloat16_rn(float value)
{
    return __nv_bfloat16(value);
}

inline __nv_bfloat16 __float2bfloat16(float value)
{
    return __nv_bfloat16(value);
}

inline float __bfloat162float(__nv_bfloat16 value)
{
    return cuda_sim::bf16_value(value.__x);
}

inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 value)
{
    return value.__x;
}

inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits)
{
    __nv_bfloat16 value;

    value.__x = bits;
    return value;
}

inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y)
{
    return __nv_bfloat162{ x, y };
}

#include "vector_types.h"

inline float2 __bfloat1622float2(__nv_bfloat162 pair)
{
    return float2{ __bfloat162float(pair.x), __bfloat162float(pair.y) };
}

#endif
#endif
