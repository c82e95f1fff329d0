/* Accesses of kernels to memory.  They are compiled with -fsanitize=thread, by which the compiler
 * puts a call before every one; in place of that sanitizer's library, which knows threads of the
 * host, these functions answer.  A GPU cannot follow a pointer to the host's memory, which here is
 * memory like any other, and its threads race (sim_race.h). */
#include "sim_block.h"
#include "sim_race.h"

#include <string.h>

static void answer(const void *address, size_t bytes, bool writes, void *caller)
{
    cuda_sim::check_access(address);
    cuda_sim::watch_access(address, bytes, writes, caller);
}

#define ANSWER(name, bytes, writes)                                                                \
    extern "C" void __tsan_##name##bytes(const void *address)                                      \
    {                                                                                              \
        answer(address, bytes, writes, __builtin_return_address(0));                               \
    }

#define ANSWER_ALL(bytes)                                                                          \
    ANSWER(read, bytes, false)                                                                     \
    ANSWER(write, bytes, true)                                                                     \
    ANSWER(unaligned_read, bytes, false)                                                           \
    ANSWER(unaligned_write, bytes, true)

ANSWER(read, 1, false)
ANSWER(write, 1, true)
ANSWER_ALL(2)
ANSWER_ALL(4)
ANSWER_ALL(8)
ANSWER_ALL(16)

extern "C" void __tsan_read_range(const void *address, size_t bytes)
{
    answer(address, bytes, false, __builtin_return_address(0));
}

extern "C" void __tsan_write_range(const void *address, size_t bytes)
{
    answer(address, bytes, true, __builtin_return_address(0));
}

/* clang's calls in place of these functions of the C library. */
static void *copy(void *to, const void *from, size_t bytes, void *caller)
{
    if (bytes > 0) {
        answer(from, bytes, false, caller);
        answer(to, bytes, true, caller);
    }
    return memmove(to, from, bytes);
}

extern "C" void *__tsan_memcpy(void *to, const void *from, size_t bytes)
{
    return copy(to, from, bytes, __builtin_return_address(0));
}

extern "C" void *__tsan_memmove(void *to, const void *from, size_t bytes)
{
    return copy(to, from, bytes, __builtin_return_address(0));
}

extern "C" void *__tsan_memset(void *to, int byte, size_t bytes)
{
    if (bytes > 0)
        answer(to, bytes, true, __builtin_return_address(0));
    return memset(to, byte, bytes);
}

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
