/* One block of memory per role: parameters, gradients, optimizer state, activations, workspace.
 * Made once, after the plan was printed and accepted; the step loop allocates nothing. */
#ifndef FX_BACKEND_HOST_ARENA_H
#define FX_BACKEND_HOST_ARENA_H

#include "base/status.h"

#include <stddef.h>

enum { FX_ARENA_ALIGN = 64 }; /* bytes: one cache line, one AVX-512 register */

struct fx_arena {
    void *base;     /* owned; page aligned, zeroed; NULL when empty */
    size_t n_bytes; /* 0: empty */
};

/* fx_arena_create: n_bytes of zeroes (0 bytes: empty, base NULL).  Pages are taken from the system
 * when they are first touched.  FX_EFAIL names the role and the size. */
enum fx_status fx_arena_create(struct fx_arena *arena, size_t n_bytes, const char *role,
                               struct fx_err *err) FX_MUST_CHECK;
/* For memory that programs share, in which each finds what another has left: NaN instead of zeros
 * in builds with the address sanitizer, so that tests show who relies on zeros. */
void fx_arena_spoil(struct fx_arena *arena);
void fx_arena_destroy(struct fx_arena *arena); /* accepts a zeroed record */

/* The next multiple of FX_ARENA_ALIGN. */
static inline size_t fx_arena_round(size_t n_bytes)
{
    return (n_bytes + FX_ARENA_ALIGN - 1) / FX_ARENA_ALIGN * FX_ARENA_ALIGN;
}

#endif
