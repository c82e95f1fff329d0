/* Running the blocks of a kernel. */
#ifndef CUDA_SIM_SIM_BLOCK_H
#define CUDA_SIM_SIM_BLOCK_H

#include <functional>

#include "vector_types.h"

namespace cuda_sim
{

/* A launch: thread() is called once for each thread of each block. */
struct kernel_launch {
    const char *name;
    dim3 grid, block;
    std::function<void()> thread;
};

/* Runs all blocks, in a random order; what cannot go on (threads that wait for threads that will
 * not come) is told and ends the program. */
void run_grid(const kernel_launch &launch);

/* For each address that instrumented code is about to touch: a kernel may touch memory of the
 * device, its own stack and shared memory, constants, and page-locked memory. */
void check_access(const void *address);

} // namespace cuda_sim

#endif
