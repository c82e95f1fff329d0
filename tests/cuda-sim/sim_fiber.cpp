/* Switching stacks: twenty instructions on x86-64, ucontext elsewhere.  Both tell the address
 * sanitizer, which watches stacks. */
#include "sim_fiber.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sanitizers.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace cuda_sim
{

/* Kernels keep little on their stack (a device gives them registers); sanitizers need more. */
static constexpr size_t STACK_BYTES = 128 << 10;

static fiber *switched_from, *switched_to;

/* ---- the address sanitizer ------------------------------------------------------------------ */

static void about_to_switch(fiber &from, fiber &to)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&from.fake_stack, to.bottom, to.bytes);
#endif
    switched_from = &from;
    switched_to = &to;
}

/* On the new stack.  The first time that the caller's stack is left, this tells where it lies. */
static void have_switched()
{
#if defined(__SANITIZE_ADDRESS__)
    const void *bottom;
    size_t bytes;

    __sanitizer_finish_switch_fiber(switched_to->fake_stack, &bottom, &bytes);
    switched_from->bottom = const_cast<void *>(bottom);
    switched_from->bytes = bytes;
#endif
}

static void begin()
{
    have_switched();
    switched_to->entry();
    abort();
}

/* ---- the switch ----------------------------------------------------------------------------- */

#ifdef CUDA_SIM_UCONTEXT

static void prepare(fiber &f)
{
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.bottom;
    f.context.uc_stack.ss_size = f.bytes;
    f.context.uc_link = nullptr;
    makecontext(&f.context, begin, 0);
}

static void swap(fiber &from, fiber &to)
{
    swapcontext(&from.context, &to.context);
}

#else

/* Keeps the registers that a call preserves on the stack that is left. */
extern "C" void cuda_sim_swap_stacks(void **left, void *entered);
asm(R"(
    .text
    .type cuda_sim_swap_stacks, @function
cuda_sim_swap_stacks:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size cuda_sim_swap_stacks, . - cuda_sim_swap_stacks
)");

/* As if begin() had been called from nowhere and had left at its first instruction: six registers,
 * its address, and no return address. */
static void prepare(fiber &f)
{
    auto *top = reinterpret_cast<uintptr_t *>(static_cast<char *>(f.bottom) + f.bytes);

    top[-2] = reinterpret_cast<uintptr_t>(begin);
    f.top = top - 8;
}

static void swap(fiber &from, fiber &to)
{
    cuda_sim_swap_stacks(&from.top, to.top);
}

#endif

static size_t page_bytes()
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

fiber::fiber(void (*first)()) : entry(first), bytes(STACK_BYTES)
{
    memory = mmap(nullptr, page_bytes() + bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, page_bytes(), PROT_NONE) != 0) {
        perror("cuda-sim: no memory for the stack of a thread");
        abort();
    }
    bottom = static_cast<char *>(memory) + page_bytes();
    prepare(*this);
}

fiber::~fiber()
{
    if (memory)
        munmap(memory, page_bytes() + STACK_BYTES);
}

void fiber_switch(fiber &from, fiber &to)
{
    about_to_switch(from, to);
    swap(from, to);
    have_switched();
}

} // namespace cuda_sim
