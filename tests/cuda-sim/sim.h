/* The simulator from outside: for the stand-ins of vendor libraries and for tests. */
#ifndef CUDA_SIM_SIM_H
#define CUDA_SIM_SIM_H

#include <cstddef>
#include <functional>

#include "cuda_runtime_api.h"
#include "sim_random.h"

namespace cuda_sim
{

/* Limits of a launch, CUDA's own. */
enum { MAX_BLOCK_THREADS = 1024, MAX_BLOCK_DEPTH = 64, MAX_GRID_HEIGHT = 65535 };

/* Puts work on a stream, or into the graph that is being captured from it.  It runs when its turn
 * comes, as often as the graph is launched, and may touch device memory; it must not call the
 * runtime.  `name` is kept: a literal. */
cudaError_t enqueue(cudaStream_t stream, const char *name, std::function<void()> run);

/* For work while it runs: events behind it are so much later. */
void spend(double ms);

/* Whether what is put on the stream goes into a graph. */
bool is_captured(cudaStream_t stream);

/* Whether all of the bytes lie in one piece of device memory. */
bool is_device_memory(const void *address, size_t bytes);

bool is_aligned(const void *address, size_t bytes);

/* Bytes of device memory that are allocated now, on all devices. */
size_t allocated_bytes();

} // namespace cuda_sim

#endif
