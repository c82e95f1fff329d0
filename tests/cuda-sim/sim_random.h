/* The simulator's one source of chance: every order that CUDA leaves open is drawn here. */
#ifndef CUDA_SIM_SIM_RANDOM_H
#define CUDA_SIM_SIM_RANDOM_H

#include <cstdint>

namespace cuda_sim
{

/* Starts the sequence anew; the environment's CUDA_SIM_SEED (default 1) starts the first one. */
void seed(uint64_t value);

uint64_t random_word();

/* Below n, which is positive. */
uint64_t random_below(uint64_t n);

} // namespace cuda_sim

#endif
