/* An input in memory: mapped when it is a file, spooled as far as needed when it is a stream. */
#include "base/io.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SPOOL_BYTES_MIN = 1 << 16, PAUSE_MS = 200 };

/* Maps a regular file that nobody has read from; false when it cannot. */
static bool map_file(struct fx_input *in, int fd)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0 ||
        lseek(fd, 0, SEEK_CUR) != 0)
        return false;
    void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return false;
    in->bytes = bytes;
    in->n_bytes = (size_t)st.st_size;
    in->is_mapped = true;
    return true;
}

static void end_stream(struct fx_input *in)
{
    if (in->is_stream && in->fd != STDIN_FILENO)
        close(in->fd);
    in->is_stream = false;
}

/* Doubles the buffer, but never beyond n bytes. */
static enum fx_status grow(struct fx_input *in, size_t n, struct fx_err *err)
{
    size_t cap = in->cap_bytes < SPOOL_BYTES_MIN ? SPOOL_BYTES_MIN : in->cap_bytes;

    if (in->cap_bytes >= SPOOL_BYTES_MIN)
        cap = cap <= SIZE_MAX / 2 ? cap * 2 : SIZE_MAX;
    if (cap > n)
        cap = n;
    void *bytes = realloc((void *)in->bytes, cap);
    if (!bytes)
        return fx_fail(err, FX_EFAIL, "%s: out of memory after %zu bytes", in->name, in->n_bytes);
    in->bytes = bytes;
    in->cap_bytes = cap;
    return FX_OK;
}

/* Reads a stream on until n bytes are there or it ends. */
static enum fx_status fill(struct fx_input *in, size_t n, struct fx_err *err)
{
    while (in->is_stream && in->n_bytes < n) {
        if (in->n_bytes == in->cap_bytes)
            FX_TRY(grow(in, n, err));
        size_t got, want = (in->cap_bytes < n ? in->cap_bytes : n) - in->n_bytes;
        FX_TRY(fx_read_full(in->fd, (uint8_t *)in->bytes + in->n_bytes, want, &got, in->name, err));
        in->n_bytes += got;
        if (got < want)
            end_stream(in);
    }
    return FX_OK;
}

enum fx_status fx_input_begin(struct fx_input *in, const char *path, struct fx_err *err)
{
    bool is_stdin = !path || strcmp(path, "-") == 0;

    *in = (struct fx_input){ .name = is_stdin ? "stdin" : path };
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fx_fail_errno(err, "%s", in->name);
    in->fd = fd;
    in->is_stream = true;
    if (map_file(in, fd))
        end_stream(in);
    return FX_OK;
}

enum fx_status fx_input_need(struct fx_input *in, size_t n, struct fx_err *err)
{
    FX_TRY(fill(in, n, err));
    if (in->n_bytes == 0 && n > 0)
        return fx_fail(err, FX_EINPUT, "%s: empty", in->name);
    if (in->n_bytes < n)
        return fx_fail(err, FX_EINPUT, "%s: cut off: %zu bytes of at least %zu", in->name,
                       in->n_bytes, n);
    return FX_OK;
}

enum fx_status fx_input_expect_end(struct fx_input *in, size_t n, struct fx_err *err)
{
    FX_TRY(fill(in, n + 1, err));
    if (in->n_bytes > n)
        return fx_fail(err, FX_EINPUT, "%s: goes on after its end at byte %zu", in->name, n);
    return FX_OK;
}

void fx_input_peek(struct fx_input *in, size_t n)
{
    struct pollfd wait = { .fd = in->fd, .events = POLLIN };

    while (in->is_stream && in->n_bytes < n && poll(&wait, 1, PAUSE_MS) > 0) {
        if (in->n_bytes == in->cap_bytes && grow(in, n, NULL) != FX_OK)
            return;
        size_t cap = in->cap_bytes < n ? in->cap_bytes : n;
        ssize_t got = read(in->fd, (uint8_t *)in->bytes + in->n_bytes, cap - in->n_bytes);
        if (got <= 0)
            return;
        in->n_bytes += (size_t)got;
    }
}

enum fx_status fx_input_open(struct fx_input *in, const char *path, struct fx_err *err)
{
    FX_TRY(fx_input_begin(in, path, err));
    enum fx_status status = fill(in, SIZE_MAX, err);
    if (status != FX_OK) {
        const char *name = in->name;
        fx_input_close(in);
        in->name = name;
    }
    return status;
}

void fx_input_close(struct fx_input *in)
{
    end_stream(in);
    if (in->is_mapped)
        munmap((void *)in->bytes, in->n_bytes);
    else
        free((void *)in->bytes);
    *in = (struct fx_input){ 0 };
}
