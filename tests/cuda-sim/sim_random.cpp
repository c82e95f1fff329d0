/* splitmix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014. */
#include "sim_random.h"

#include <cstdlib>

namespace cuda_sim
{

static uint64_t &state()
{
    static uint64_t value = [] {
        const char *text = getenv("CUDA_SIM_SEED");
        return text ? strtoull(text, nullptr, 10) : 1;
    }();
    return value;
}

void seed(uint64_t value)
{
    state() = value;
}

uint64_t random_word()
{
    uint64_t z = state() += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t random_below(uint64_t n)
{
    return (uint64_t)((unsigned __int128)random_word() * n >> 64);
}

} // namespace cuda_sim
