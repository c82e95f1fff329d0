/* Allocations that fail, for LD_PRELOAD.  FAIL_AT=N: number N alone, of those that a tool makes
 * once it has begun (fx_tool_start calls setvbuf); how many there were is left in the file
 * FAIL_COUNT. FAIL_FROM=N: number N of the process and all that follow, as where memory ends. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *bytes, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

static atomic_bool has_begun;
static atomic_long count;
static long fail_at;

static long number_in(const char *name)
{
    const char *text = getenv(name);

    return text ? strtol(text, NULL, 10) : 0;
}

int setvbuf(FILE *stream, char *buffer, int mode, size_t n)
{
    int (*real)(FILE *, char *, int, size_t) =
        (int (*)(FILE *, char *, int, size_t))dlsym(RTLD_NEXT, "setvbuf");
    int result = real(stream, buffer, mode, n);

    fail_at = number_in("FAIL_AT");
    has_begun = true;
    return result;
}

__attribute__((destructor)) static void leave_count(void)
{
    const char *path = getenv("FAIL_COUNT");

    has_begun = false;
    FILE *out = path ? fopen(path, "w") : NULL;
    if (!out)
        return;
    fprintf(out, "%ld\n", count);
    fclose(out);
}

static bool fails(void)
{
    static long fail_from = -1;

    if (fail_from < 0)
        fail_from = number_in("FAIL_FROM");
    if (!has_begun && fail_from == 0)
        return false;
    ++count;
    if (fail_from > 0 ? count < fail_from : count != fail_at)
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n)
{
    return fails() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *bytes, size_t n)
{
    return fails() ? NULL : __libc_realloc(bytes, n);
}

int posix_memalign(void **bytes, size_t alignment, size_t n)
{
    *bytes = fails() ? NULL : __libc_memalign(alignment, n);
    return *bytes ? 0 : ENOMEM;
}
