/* Arenas from anonymous mappings: zeroed by the system page by page, so that a large model starts
 * at once, and in huge pages where the system has them. */
#include "backend/host/arena.h"

#include "base/sanitizers.h"

#include <string.h>
#include <sys/mman.h>

enum fx_status fx_arena_create(struct fx_arena *arena, size_t n_bytes, const char *role,
                               struct fx_err *err)
{
    void *base;

    *arena = (struct fx_arena){ 0 };
    if (n_bytes == 0)
        return FX_OK;
    base = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return fx_fail_errno(err, "%s: cannot get %.1f MiB", role, (double)n_bytes / 0x1p20);
    /* Advice only: a system without huge pages refuses it and nothing is lost. */
    (void)madvise(base, n_bytes, MADV_HUGEPAGE);
    arena->base = base;
    arena->n_bytes = n_bytes;
    return FX_OK;
}

void fx_arena_spoil(struct fx_arena *arena)
{
#ifdef __SANITIZE_ADDRESS__
    if (arena->n_bytes > 0)
        memset(arena->base, 0xff, arena->n_bytes);
#else
    (void)arena;
#endif
}

void fx_arena_destroy(struct fx_arena *arena)
{
    if (arena->base)
        (void)munmap(arena->base, arena->n_bytes);
    *arena = (struct fx_arena){ 0 };
}
