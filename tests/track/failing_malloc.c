/* Memory that ends, for LD_PRELOAD: from allocation number FAIL_FROM on, every one fails. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *bytes, size_t n);

static bool fails(void)
{
    static long from = -1, n;

    if (from < 0) {
        const char *text = getenv("FAIL_FROM");
        from = text != NULL ? strtol(text, NULL, 10) : 0;
    }
    if (from == 0 || ++n < from)
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
