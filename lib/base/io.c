/* Whole reads and writes, what read(2) and write(2) do in pieces; and streams into memory. */
#include "base/io.h"

#include "base/stop.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* Linux moves at most this much in one call anyway. */
static const size_t chunk_bytes_max = (size_t)1 << 30;

static size_t chunk(size_t n)
{
    return n < chunk_bytes_max ? n : chunk_bytes_max;
}

enum fx_status fx_read_full(int fd, void *buf, size_t n, size_t *n_read, const char *name,
                            struct fx_err *err)
{
    uint8_t *at = buf;

    *n_read = 0;
    while (*n_read < n) {
        ssize_t got = read(fd, at + *n_read, chunk(n - *n_read));
        if (got == 0)
            break;
        if (got > 0)
            *n_read += (size_t)got;
        else if (errno != EINTR)
            return fx_fail_errno(err, "%s", name);
        else if (fx_stop_requested())
            return fx_fail(err, FX_ESTOPPED, "%s: reading was stopped by a signal", name);
    }
    return FX_OK;
}

enum fx_status fx_write_full(int fd, const void *buf, size_t n, const char *name,
                             struct fx_err *err)
{
    const uint8_t *at = buf;

    while (n > 0) {
        ssize_t put = write(fd, at, chunk(n));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EPIPE && fx_stop_signal() == SIGPIPE)
            return fx_fail(err, FX_ESTOPPED, "%s: the reader is gone", name);
        if (put < 0)
            return fx_fail_errno(err, "%s", name);
        at += put;
        n -= (size_t)put;
    }
    return FX_OK;
}

enum fx_status fx_make_dirs(const char *path, struct fx_err *err)
{
    char *prefix = strdup(path);
    enum fx_status status = FX_OK;

    if (!prefix)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", path);
    for (char *at = prefix + 1; status == FX_OK && prefix[0] != '\0'; at++) {
        char c = *at;
        if (c != '/' && c != '\0')
            continue;
        *at = '\0';
        struct stat st;
        /* stat first: mkdir of an existing parent may fail with EROFS or EACCES. */
        if (stat(prefix, &st) != 0 && mkdir(prefix, 0777) != 0 && errno != EEXIST)
            status = fx_fail_errno(err, "%s", prefix);
        *at = c;
        if (c == '\0')
            break;
    }
    struct stat st;
    if (status == FX_OK && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
        status = fx_fail(err, FX_EFAIL, "%s: not a directory", path);
    free(prefix);
    return status;
}

/* A stream of our own over realloc: a write that finds no room is a failed write. */

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
