/* What a failed CUDA call is to the user. */
#include "backend/cuda/error_internal.h"

#include <string.h>

enum fx_status fx_cuda_fail(cudaError_t error, const char *call, struct fx_err *err)
{
    int n = (int)strcspn(call, "(");

    if (error == cudaErrorMemoryAllocation)
        return fx_fail(err, FX_EFAIL,
                       "device cuda: out of memory: reduce --batch, or use --precision bf16");
    return fx_fail(err, FX_EFAIL, "device cuda: %.*s: %s", n, call, cudaGetErrorString(error));
}
