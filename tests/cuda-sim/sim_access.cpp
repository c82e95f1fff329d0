/* Accesses of kernels to memory.  They are compiled with -fsanitize=thread, by which the compiler
 * puts a call before every one; in place of that sanitizer's library these functions answer.  A GPU
 * cannot follow a pointer to the host's memory, which here is memory like any other. */
#include "sim_block.h"

#define ANSWER(name)                                                                               \
    extern "C" void __tsan_##name(const void *address)                                             \
    {                                                                                              \
        cuda_sim::check_access(address);                                                           \
    }

ANSWER(read1)
ANSWER(read2)
ANSWER(read4)
ANSWER(read8)
ANSWER(read16)
ANSWER(write1)
ANSWER(write2)
ANSWER(write4)
ANSWER(write8)
ANSWER(write16)
ANSWER(unaligned_read2)
ANSWER(unaligned_read4)
ANSWER(unaligned_read8)
ANSWER(unaligned_read16)
ANSWER(unaligned_write2)
ANSWER(unaligned_write4)
ANSWER(unaligned_write8)
ANSWER(unaligned_write16)

#define ANSWER_RANGE(name)                                                                         \
    extern "C" void __tsan_##name(const void *address, size_t)                                     \
    {                                                                                              \
        cuda_sim::check_access(address);                                                           \
    }

ANSWER_RANGE(read_range)
ANSWER_RANGE(write_range)

/* What else the compiler calls. */
extern "C" void __tsan_init()
{
}

extern "C" void __tsan_func_entry(const void *)
{
}

extern "C" void __tsan_func_exit()
{
}
