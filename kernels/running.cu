/* Running statistics after a training forward pass: a block of threads for each BATCHNORM node. */
#include "launch.cuh"
#include "kernels.h"

enum { THREADS = 256 };

static __device__ __forceinline__ void move_average(float momentum, const float *last, float *next,
                                                    size_t at, float batch, int *not_finite)
{
    next[at] = (1.0f - momentum) * last[at] + momentum * batch;
    if (!isfinite(next[at]))
        atomicOr(not_finite, 1);
}

static __global__ void running_gather(const fx_k_running *table, const fx_k_batch *batch,
                                      const float *running, float *pending, int *not_finite)
{
    fx_k_running node = table[blockIdx.x];
    const float *last = batch->is_first ? running : pending;

    for (int c = (int)threadIdx.x; c < node.c; c += THREADS) {
        move_average(node.momentum, last, pending, node.at_mean + (size_t)c, node.mean[c],
                     not_finite);
        move_average(node.momentum, last, pending, node.at_var + (size_t)c, node.unbiased[c],
                     not_finite);
    }
}

cudaError_t fx_k_running_gather(cudaStream_t stream, const struct fx_k_running *table, int n,
                                const struct fx_k_batch *batch, const float *running,
                                float *pending, int *not_finite)
{
    return FX_LAUNCH(running_gather, (unsigned)n, THREADS, 0, stream, table, batch, running,
                     pending, not_finite);
}
