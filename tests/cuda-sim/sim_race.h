/* Races: two threads of a grid touch the same byte, one of them writes, and neither a barrier lies
 * between them nor, where they are of two blocks, fences (sim_order.h).  With CUDA_SIM_RACES=1 in
 * the environment the first one, in shared or in device memory, is told and ends the program. Order
 * within a warp is not looked at: shuffles exchange values. */
#ifndef CUDA_SIM_SIM_RACE_H
#define CUDA_SIM_SIM_RACE_H

#include <cstddef>

namespace cuda_sim
{

/* Where shared memory lies, before the first block of a grid. */
void watch_grid(const void *shared, size_t bytes);
/* Before the first interval of each block. */
void watch_block();
/* At the begin of a block and behind each barrier: to its threads, what follows is later. */
void watch_barrier();
/* A thread of the grid is about to touch memory; `caller` is where in its code. */
void watch_access(const void *memory, size_t bytes, bool writes, void *caller);
/* No block runs: what the host touches is its own affair. */
void watch_nothing();
/* Whole pages of device memory that was freed. */
void forget_memory(const void *memory, size_t bytes);

/* ---- sim_block.cpp ------------------------------------------------------------------------------
 */

/* The number of the running thread in its block. */
int running_thread();
[[noreturn]] void give_up(const char *what);

} // namespace cuda_sim

#endif
