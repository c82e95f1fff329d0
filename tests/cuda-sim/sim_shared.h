/* __shared__ variables are thread_local statics: all of them lie in one block of memory, the
 * program's own thread-local storage. */
#ifndef CUDA_SIM_SIM_SHARED_H
#define CUDA_SIM_SIM_SHARED_H

#include <cstddef>
#include <vector>

namespace cuda_sim
{

/* For the life of this object that block is the kernels'; then it is as it was.  Whatever else the
 * program keeps there must not be used meanwhile. */
struct shared_memory {
    shared_memory();
    ~shared_memory();
    shared_memory(const shared_memory &) = delete;
    shared_memory &operator=(const shared_memory &) = delete;

    /* What a block finds: NaN. */
    void poison();
    bool holds(const void *address) const;
    /* Tells sim_race.h where it lies. */
    void watch() const;

  private:
    unsigned char *memory;
    size_t bytes;
    std::vector<unsigned char> before;
};

} // namespace cuda_sim

#endif
