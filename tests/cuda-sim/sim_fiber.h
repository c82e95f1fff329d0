/* Stacks to run on: threads of a block wait for each other by leaving theirs. */
#ifndef CUDA_SIM_SIM_FIBER_H
#define CUDA_SIM_SIM_FIBER_H

#include <stddef.h>
#include <stdint.h>
#if !defined(__x86_64__)
#define CUDA_SIM_UCONTEXT 1
#endif
#ifdef CUDA_SIM_UCONTEXT
#include <ucontext.h>
#endif

namespace cuda_sim
{

/* A place where execution can be continued: a stack of its own, or the caller's. */
struct fiber {
    /* The one that runs now, on the stack of the operating system's thread. */
    fiber() = default;
    /* A new one; the first switch to it calls `first`, which must not return. */
    explicit fiber(void (*first)());
    ~fiber();
    /* Whether an address is on its stack. */
    bool holds(const void *address) const
    {
        return (uintptr_t)address - (uintptr_t)bottom < bytes;
    }
    fiber(const fiber &) = delete;
    fiber &operator=(const fiber &) = delete;

    void (*entry)() = nullptr;
    void *bottom = nullptr; /* of the stack; found out when the caller's is left first */
    size_t bytes = 0;
    void *memory = nullptr; /* owned: the stack with a closed page below; NULL: the caller's */
#ifdef CUDA_SIM_UCONTEXT
    ucontext_t context;
#else
    void *top = nullptr; /* where the stack stood when it was left */
#endif
    void *fake_stack = nullptr; /* the address sanitizer's */
};

/* Leaves `from`, which runs, and continues `to`; returns when someone switches back. */
void fiber_switch(fiber &from, fiber &to);

} // namespace cuda_sim

#endif
