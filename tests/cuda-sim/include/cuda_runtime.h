/* CUDA C++ for the simulator: the runtime's interface, and what kernels may use.  A kernel is an
 * ordinary function; FX_LAUNCH (kernels/launch.cuh) runs it once for every thread of every block.
 */
#ifndef CUDA_SIM_CUDA_RUNTIME_H
#define CUDA_SIM_CUDA_RUNTIME_H

#include "cuda_runtime_api.h"

#ifdef __cplusplus
#include "sim_device.h"
#include "sim_launch.h"

template <class T> cudaError_t cudaMalloc(T **pointer, size_t size)
{
    return cudaMalloc(reinterpret_cast<void **>(pointer), size);
}

template <class T> cudaError_t cudaMallocHost(T **pointer, size_t size)
{
    return cudaMallocHost(reinterpret_cast<void **>(pointer), size);
}
#endif
#endif
