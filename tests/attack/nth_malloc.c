/* One allocation that fails, for LD_PRELOAD: number FAIL_AT of those that a tool makes once it has
 * begun (fx_tool_start calls setvbuf).  How many there were is left in the file FAIL_COUNT. */
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

int setvbuf(FILE *stream, char *buffer, int mode, size_t n)
{
    int (*real)(FILE *, char *, int, size_t) =
        (int (*)(FILE *, char *, int, size_t))dlsym(RTLD_NEXT, "setvbuf");
    const char *text = getenv("FAIL_AT");
    int result = real(stream, buffer, mode, n);

    fail_at = text ? strtol(text, NULL, 10) : 0;
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
    if (!has_begun || ++count != fail_at)
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
