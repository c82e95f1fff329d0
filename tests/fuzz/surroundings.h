/* What the targets of targets.h stand on: promises, and files and folders in memory. */
#ifndef FX_TESTS_SURROUNDINGS_H
#define FX_TESTS_SURROUNDINGS_H

#include "base/log.h"
#include "base/status.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile uint64_t target_sink; /* keeps reads alive */

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "a target's promise does not hold: %s\n", what);
    abort();
}

/* Read, or refused with a reason. */
static void judge(enum fx_status status, const struct fx_err *err)
{
    must(status == FX_OK || status == FX_EINPUT, "input is read or refused");
    must(status == FX_OK || (err->status == status && err->msg[0] != '\0'), "a refusal has words");
}

/* ---- files and folders in memory ------------------------------------------------------------- */

static int memory_file(const uint8_t *bytes, size_t n)
{
    int fd = memfd_create("fuzz", 0);

    must(fd >= 0 && write(fd, bytes, n) == (ssize_t)n && lseek(fd, 0, SEEK_SET) == 0, "a file");
    return fd;
}

struct content {
    uint8_t *bytes; /* owned */
    size_t n;
};

static struct content content_of(int fd)
{
    struct content c = { .n = (size_t)lseek(fd, 0, SEEK_END) };

    c.bytes = malloc(c.n + 1);
    must(c.bytes && pread(fd, c.bytes, c.n, 0) == (ssize_t)c.n, "a file can be read");
    close(fd);
    return c;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st, (void)kind, (void)where;
    return remove(path);
}

/* A new folder; its name holds until the next one. */
static const char *scratch(void)
{
    static char path[64];

    if (path[0] != '\0')
        nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    snprintf(path, sizeof path, "/dev/shm/fusion-fuzz.XXXXXX");
    must(mkdtemp(path), "a folder");
    return path;
}

static void put(const char *dir, const char *name, const uint8_t *bytes, size_t n)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    must(fd >= 0 && write(fd, bytes, n) == (ssize_t)n, "a file");
    close(fd);
}

#endif
