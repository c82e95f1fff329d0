/* Order between the blocks of a grid, which no barrier gives: a thread's fence and then its atomic
 * operation publish, what the thread did before the fence and all that its block did before the
 * last barrier; another block's atomic operation on the same address and then a fence of the same
 * thread take it over, for this thread and, behind the next barrier, for its block.
 *
 * Accesses are named by the interval of time in which they happened (sim_race.cpp): those of a
 * block follow each other, and blocks do. */
#ifndef CUDA_SIM_SIM_ORDER_H
#define CUDA_SIM_SIM_ORDER_H

#include <cstdint>

namespace cuda_sim
{

/* Where in time a thread stands. */
struct moment {
    uint32_t block, barrier, now; /* the first intervals of its block and behind the last barrier */
    int thread;
};

void order_grid();    /* before the first block of a grid: nothing is published */
void order_block();   /* before a block: nothing is taken over */
void order_barrier(); /* all threads of the block are there */
void order_fence(const moment &self);
void order_atomic(const void *address, int thread);

/* Whether what `thread` of an earlier block did in an interval is over for the running thread. */
bool is_over(uint32_t interval, int thread, int running);

} // namespace cuda_sim

#endif
