/* Whole reads and writes: what read(2) and write(2) do in pieces, done until complete. */
#include "base/io.h"

#include "base/stop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
