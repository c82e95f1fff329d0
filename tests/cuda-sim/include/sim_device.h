/* What kernels see: qualifiers, their place in the grid, barriers, shuffles, atomics, and the
 * functions that a device has and the C library lacks. */
#ifndef CUDA_SIM_SIM_DEVICE_H
#define CUDA_SIM_SIM_DEVICE_H

#include <limits>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <type_traits>

#include "vector_types.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
/* One copy for the block that runs: blocks run one after the other on one thread of the host, and
 * each finds this memory full of NaN (sim_shared.cpp). */
#define __shared__ static thread_local

/* Set before a thread of the grid runs on. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace cuda_sim
{

/* Where in the source a thread waits: all that wait for each other must say the same. */
struct place {
    const char *file;
    int line;
};

/* Waits for all threads of the block. */
void wait_block(place here);
/* Gives a value to the warp and waits for all 32 lanes; returns theirs, valid until the next. */
const uint64_t *exchange(uint64_t value, place here);
/* The lane of the running thread. */
int lane();
/* Only whole warps exchange: complains of another mask. */
void check_mask(unsigned mask, place here);
/* What an atomic operation on an address and a fence of the running thread say of the order of
 * accesses to device memory (sim_order.h). */
void meet_at(const void *address);
void fence();

/* `value` of the lane that `source` says, given one's own; one's own where that is no lane. */
template <class T, class Source> T shuffle(unsigned mask, T value, Source source, place here)
{
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(uint64_t));
    uint64_t word = 0;

    check_mask(mask, here);
    memcpy(&word, &value, sizeof value);
    const uint64_t *words = exchange(word, here);
    int from = source(lane());
    if (from >= 0 && from < warpSize)
        memcpy(&value, &words[from], sizeof value);
    return value;
}

/* float or double to an integer as the device does: saturates, NaN is 0. */
template <class Int> Int to_integer(double value)
{
    if (isnan(value))
        return 0;
    if (value <= (double)std::numeric_limits<Int>::min())
        return std::numeric_limits<Int>::min();
    if (value >= (double)std::numeric_limits<Int>::max())
        return std::numeric_limits<Int>::max();
    return (Int)value;
}

} // namespace cuda_sim

/* Default arguments of the caller: where it stands in the source. */
#define CUDA_SIM_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(CUDA_SIM_HERE)
{
    cuda_sim::wait_block({ file, line });
}

inline void __syncwarp(unsigned mask = 0xffffffffu, CUDA_SIM_HERE)
{
    cuda_sim::check_mask(mask, { file, line });
    cuda_sim::exchange(0, { file, line });
}

template <class T> T __shfl_sync(unsigned mask, T value, int source, CUDA_SIM_HERE)
{
    auto from = [=](int) { return source & (warpSize - 1); };

    return cuda_sim::shuffle(mask, value, from, { file, line });
}

template <class T> T __shfl_xor_sync(unsigned mask, T value, int lanes, CUDA_SIM_HERE)
{
    auto from = [=](int self) { return self ^ lanes; };

    return cuda_sim::shuffle(mask, value, from, { file, line });
}

template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned delta, CUDA_SIM_HERE)
{
    auto from = [=](int self) { return self + (int)delta; };

    return cuda_sim::shuffle(mask, value, from, { file, line });
}

template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned delta, CUDA_SIM_HERE)
{
    auto from = [=](int self) { return self - (int)delta; };

    return cuda_sim::shuffle(mask, value, from, { file, line });
}

inline void __threadfence()
{
    cuda_sim::fence();
}

/* ---- atomics: threads switch at barriers and shuffles only ------------------------------------
 */

template <class T> __attribute__((no_sanitize("thread"))) T cuda_sim_replace(T *address, T value)
{
    T old = *address;

    cuda_sim::meet_at(address);
    *address = value;
    return old;
}

inline int atomicAdd(int *address, int value)
{
    return cuda_sim_replace(address, (int)((unsigned)*address + (unsigned)value));
}

inline unsigned atomicAdd(unsigned *address, unsigned value)
{
    return cuda_sim_replace(address, *address + value);
}

inline unsigned atomicInc(unsigned *address, unsigned last)
{
    return cuda_sim_replace(address, *address >= last ? 0 : *address + 1);
}

inline int atomicOr(int *address, int value)
{
    return cuda_sim_replace(address, *address | value);
}

inline unsigned atomicOr(unsigned *address, unsigned value)
{
    return cuda_sim_replace(address, *address | value);
}

inline int atomicMax(int *address, int value)
{
    return cuda_sim_replace(address, *address > value ? *address : value);
}

/* ---- arithmetic ----------------------------------------------------------------------------- */

template <class T> constexpr T min(T a, T b)
{
    return b < a ? b : a;
}

template <class T> constexpr T max(T a, T b)
{
    return a < b ? b : a;
}

/* Rounded once, never contracted: the simulator's kernels are compiled with -ffp-contract=off. */
inline float __fadd_rn(float a, float b)
{
    return a + b;
}

inline float __fsub_rn(float a, float b)
{
    return a - b;
}

inline float __fmul_rn(float a, float b)
{
    return a * b;
}

inline float __fdiv_rn(float a, float b)
{
    return a / b;
}

inline float __fsqrt_rn(float a)
{
    return sqrtf(a);
}

inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}

inline double __dadd_rn(double a, double b)
{
    return a + b;
}

inline double __dsub_rn(double a, double b)
{
    return a - b;
}

inline double __dmul_rn(double a, double b)
{
    return a * b;
}

inline double __ddiv_rn(double a, double b)
{
    return a / b;
}

inline double __dsqrt_rn(double a)
{
    return sqrt(a);
}

inline float rsqrtf(float a)
{
    return 1.0f / sqrtf(a);
}

inline double rsqrt(double a)
{
    return 1.0 / sqrt(a);
}

inline float __expf(float a)
{
    return expf(a);
}

inline float __logf(float a)
{
    return logf(a);
}

inline float __fdividef(float a, float b)
{
    return a / b;
}

/* ---- integers and conversions -----------------------------------------------------------------
 */

inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((uint64_t)a * b >> 32);
}

inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}

inline int __popc(unsigned a)
{
    return __builtin_popcount(a);
}

inline int __clz(int a)
{
    return a ? __builtin_clz((unsigned)a) : 32;
}

inline int __float2int_rn(float a)
{
    return cuda_sim::to_integer<int>(rintf(a));
}

inline int __float2int_rz(float a)
{
    return cuda_sim::to_integer<int>(truncf(a));
}

inline int __float2int_rd(float a)
{
    return cuda_sim::to_integer<int>(floorf(a));
}

inline unsigned __float2uint_rz(float a)
{
    return cuda_sim::to_integer<unsigned>(truncf(a));
}

inline int __double2int_rn(double a)
{
    return cuda_sim::to_integer<int>(rint(a));
}

inline float __int2float_rn(int a)
{
    return (float)a;
}

inline float __uint2float_rn(unsigned a)
{
    return (float)a;
}

inline float __double2float_rn(double a)
{
    return (float)a;
}

inline unsigned __float_as_uint(float a)
{
    unsigned bits;

    memcpy(&bits, &a, sizeof bits);
    return bits;
}

inline int __float_as_int(float a)
{
    return (int)__float_as_uint(a);
}

inline float __uint_as_float(unsigned bits)
{
    float a;

    memcpy(&a, &bits, sizeof a);
    return a;
}

inline float __int_as_float(int bits)
{
    return __uint_as_float((unsigned)bits);
}

template <class T> T __ldg(const T *address)
{
    return *address;
}

/* ---- making vectors ---------------------------------------------------------------------------
 */

#define CUDA_SIM_MAKE(type, name)                                                                  \
    inline name##2 make_##name##2(type x, type y)                                                  \
    {                                                                                              \
        return name##2 { x, y };                                                                   \
    }                                                                                              \
    inline name##4 make_##name##4(type x, type y, type z, type w)                                  \
    {                                                                                              \
        return name##4 { x, y, z, w };                                                             \
    }

CUDA_SIM_MAKE(unsigned char, uchar)
CUDA_SIM_MAKE(unsigned short, ushort)
CUDA_SIM_MAKE(int, int)
CUDA_SIM_MAKE(unsigned int, uint)
CUDA_SIM_MAKE(float, float)
CUDA_SIM_MAKE(double, double)
#undef CUDA_SIM_MAKE

#endif
