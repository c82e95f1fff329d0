/* Running statistics after a training forward pass, of all BATCHNORM nodes at once: grid.x counts
 * nodes, grid.y chunks of channels.  Rounded as lib/backend/host/running_stats.c does. */
#include "kernels.h"
#include "launch.cuh"

enum { THREADS = 256, CHUNKS = 4 };

/* next[at] = (1 - momentum) * last[at] + momentum * batch; whether that is a number. */
static __device__ __forceinline__ bool move_average(float momentum, const float *last, float *next,
                                                    size_t at, float batch)
{
    float value = __fadd_rn(__fmul_rn(1.0f - momentum, last[at]), __fmul_rn(momentum, batch));

    next[at] = value;
    return isfinite(value);
}

static __global__ void __launch_bounds__(THREADS)
    running_gather(const fx_k_running *table, const fx_k_batch *batch, const float *running,
                   float *pending, int *not_finite)
{
    fx_k_running node = table[blockIdx.x];
    const float *last = batch->is_first ? running : pending;
    bool is_finite = true;

    for (int c = (int)(blockIdx.y * THREADS + threadIdx.x); c < node.c; c += CHUNKS * THREADS) {
        is_finite &=
            move_average(node.momentum, last, pending, node.at_mean + (size_t)c, node.mean[c]);
        is_finite &=
            move_average(node.momentum, last, pending, node.at_var + (size_t)c, node.unbiased[c]);
    }
    if (!is_finite)
        atomicOr(not_finite, 1);
}

cudaError_t fx_k_running_gather(cudaStream_t stream, const struct fx_k_running *table, int n,
                                const struct fx_k_batch *batch, const float *running,
                                float *pending, int *not_finite)
{
    return FX_LAUNCH(running_gather, dim3((unsigned)n, CHUNKS), THREADS, 0, stream, table, batch,
                     running, pending, not_finite);
}
