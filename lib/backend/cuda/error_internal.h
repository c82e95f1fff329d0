/* CUDA's errors as ours. */
#ifndef FX_BACKEND_CUDA_ERROR_INTERNAL_H
#define FX_BACKEND_CUDA_ERROR_INTERNAL_H

#include "base/status.h"

#include <cuda_runtime_api.h>

/* fx_cuda_fail: the error of a call, whose text may be the whole call; its name is printed.
 * Exhausted memory says what to change. */
enum fx_status fx_cuda_fail(cudaError_t error, const char *call, struct fx_err *err) FX_MUST_CHECK;

/* Returns from the calling function when the call fails; `err` must be in scope. */
#define FX_CUDA(call)                                                                              \
    do {                                                                                           \
        cudaError_t error_ = (call);                                                               \
        if (error_ != cudaSuccess)                                                                 \
            return fx_cuda_fail(error_, #call, err);                                               \
    } while (0)

#endif
