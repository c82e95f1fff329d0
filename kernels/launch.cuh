/* Starting a kernel: FX_LAUNCH(kernel, grid, block, shared bytes, stream, arguments...) is the
 * launch's cudaError_t, not one that an earlier call left behind.  FX_START is a macro of its own,
 * so that a build without a GPU can run kernels in its own way (tests/cuda-sim). */
#ifndef FX_KERNELS_LAUNCH_CUH
#define FX_KERNELS_LAUNCH_CUH

#include <cuda_runtime.h>

#ifndef FX_START
#define FX_START(kernel, grid, block, shared, stream, ...)                                         \
    kernel<<<(grid), (block), (shared), (stream)>>>(__VA_ARGS__)
#endif

#define FX_LAUNCH(...) (cudaGetLastError(), FX_START(__VA_ARGS__), cudaGetLastError())

#endif
