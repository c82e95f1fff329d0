/* Small vectors as CUDA has them, with its alignment: one load of up to 16 bytes on a device. */
#ifndef CUDA_SIM_VECTOR_TYPES_H
#define CUDA_SIM_VECTOR_TYPES_H

#define CUDA_SIM_VECTORS(type, name)                                                               \
    struct name##2                                                                                 \
    {                                                                                              \
        type x, y;                                                                                 \
    }                                                                                              \
    __attribute__((aligned(2 * sizeof(type))));                                                    \
    struct name##4                                                                                 \
    {                                                                                              \
        type x, y, z, w;                                                                           \
    }                                                                                              \
    __attribute__((aligned(4 * sizeof(type) < 16 ? 4 * sizeof(type) : 16)));                       \
    typedef struct name##2 name##2;                                                                \
    typedef struct name##4 name##4;

CUDA_SIM_VECTORS(signed char, char)
CUDA_SIM_VECTORS(unsigned char, uchar)
CUDA_SIM_VECTORS(short, short)
CUDA_SIM_VECTORS(unsigned short, ushort)
CUDA_SIM_VECTORS(int, int)
CUDA_SIM_VECTORS(unsigned int, uint)
CUDA_SIM_VECTORS(float, float)
CUDA_SIM_VECTORS(double, double)
#undef CUDA_SIM_VECTORS

struct float3 {
    float x, y, z;
};
struct int3 {
    int x, y, z;
};
struct uint3 {
    unsigned int x, y, z;
};
typedef struct float3 float3;
typedef struct int3 int3;
typedef struct uint3 uint3;

/* The extents of a grid or a block. */
struct dim3 {
    unsigned int x, y, z;
#ifdef __cplusplus
    constexpr dim3(unsigned int nx = 1, unsigned int ny = 1, unsigned int nz = 1)
        : x(nx), y(ny), z(nz)
    {
    }
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z)
    {
    }
    constexpr operator uint3() const
    {
        return uint3{ x, y, z };
    }
#endif
};
typedef struct dim3 dim3;

#endif
