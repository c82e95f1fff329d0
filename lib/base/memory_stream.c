/* A stream of our own over realloc: a write that finds no room is a failed write. */
#include "base/memory_stream.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

enum { BYTES_AT_FIRST = 256 };

struct memory {
    char **bytes;
    size_t *n, cap;
    bool failed; /* once, and for good: what follows would have a hole before it */
};

static bool make_room(struct memory *memory, size_t n)
{
    size_t cap = memory->cap;

    while (cap - *memory->n <= n) { /* one for the NUL */
        if (cap > SIZE_MAX / 2)
            return false;
        cap *= 2;
    }
    char *grown = cap > memory->cap ? realloc(*memory->bytes, cap) : *memory->bytes;
    if (!grown)
        return false;
    *memory->bytes = grown;
    memory->cap = cap;
    return true;
}

static ssize_t write_memory(void *cookie, const char *text, size_t n)
{
    struct memory *memory = cookie;

    if (memory->failed || !make_room(memory, n)) {
        memory->failed = true;
        errno = ENOMEM;
        return 0;
    }
    memcpy(*memory->bytes + *memory->n, text, n);
    *memory->n += n;
    (*memory->bytes)[*memory->n] = '\0';
    return (ssize_t)n;
}

static int close_memory(void *cookie)
{
    struct memory *memory = cookie;
    bool failed = memory->failed;

    free(memory);
    errno = ENOMEM;
    return failed ? -1 : 0;
}

FILE *fx_memory_stream(char **bytes, size_t *n)
{
    const cookie_io_functions_t io = { .write = write_memory, .close = close_memory };
    struct memory *memory = malloc(sizeof *memory);
    FILE *out = NULL;

    *n = 0;
    *bytes = calloc(1, BYTES_AT_FIRST);
    if (memory && *bytes) {
        *memory = (struct memory){ bytes, n, BYTES_AT_FIRST, false };
        out = fopencookie(memory, "w", io);
    }
    if (!out) {
        free(memory);
        free(*bytes);
        *bytes = NULL;
    }
    return out;
}
