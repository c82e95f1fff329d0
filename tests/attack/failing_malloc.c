/* Allocations that fail, for LD_PRELOAD.  FAIL_AT=N: number N alone, of those that a tool makes
 * once it has begun (fx_tool_start calls setvbuf); the file FAIL_STACKS gets a line for each of
 * them, the checksum of the stack of its callers. FAIL_FROM=N: number N of the process and all
 * that follow, as where memory ends. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *bytes, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

enum { STACK_MAX = 64 };
static atomic_bool has_begun;
static atomic_long count;
static long fail_at;
static int stacks = -1;
static _Thread_local bool is_unwinding; /* which may allocate */

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
    if (getenv("FAIL_STACKS"))
        stacks = open(getenv("FAIL_STACKS"), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0666);
    has_begun = true;
    return result;
}

__attribute__((destructor)) static void end(void)
{
    has_begun = false;
}

static void leave_stack(void)
{
    void *callers[STACK_MAX];
    unsigned long sum = 0;

    is_unwinding = true;
    int n = backtrace(callers, STACK_MAX);
    for (int i = 2; i < n; i++)
        sum = sum * 1000003 + (unsigned long)callers[i];
    dprintf(stacks, "%016lx\n", sum);
    is_unwinding = false;
}

static bool fails(void)
{
    static long fail_from = -1;

    if (fail_from < 0)
        fail_from = number_in("FAIL_FROM");
    if ((!has_begun && fail_from == 0) || is_unwinding)
        return false;
    ++count;
    if (stacks >= 0)
        leave_stack();
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
