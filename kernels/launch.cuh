/* Starting a kernel: FX_LAUNCH(kernel, grid, block, shared bytes, stream, arguments...) is the
 * launch's cudaError_t.  One macro, so that a build without a GPU can run kernels in its own way
 * (tests/cuda-sim). */
#ifndef FX_KERNELS_LAUNCH_CUH
#define FX_KERNELS_LAUNCH_CUH

#include <cuda_runtime.h>

#ifndef FX_LAUNCH
#define FX_LAUNCH(kernel, grid, block, shared, stream, ...)                                        \
    (kernel<<<(grid), (block), (shared), (stream)>>>(__VA_ARGS__), cudaGetLastError())
#endif

#endif
