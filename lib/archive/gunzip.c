/* Inflating and verifying the gzip layer (see gunzip_internal.h). */
#include "archive/gunzip_internal.h"

#include "base/io.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GZIP_ONLY_WINDOW = 15 + 16 }; /* inflateInit2: largest window, gzip header and trailer */

/* Makes at least `want` bytes available unless the file ends before. */
static enum fx_status refill(struct fx_gunzip *gz, size_t want, struct fx_err *err)
{
    size_t got;

    if (gz->end - gz->at >= want || gz->fd_at_end)
        return FX_OK;
    memmove(gz->input, gz->input + gz->at, gz->end - gz->at);
    gz->end -= gz->at;
    gz->at = 0;
    FX_TRY(fx_read_full(gz->fd, gz->input + gz->end, FX_GUNZIP_INPUT_BYTES - gz->end, &got,
                        gz->name, err));
    gz->end += got;
    gz->fd_at_end = gz->end < FX_GUNZIP_INPUT_BYTES;
    return FX_OK;
}

static bool at_magic(const struct fx_gunzip *gz)
{
    return gz->end - gz->at >= 2 && gz->input[gz->at] == 0x1f && gz->input[gz->at + 1] == 0x8b;
}

static enum fx_status begin(struct fx_gunzip *gz, struct fx_err *err)
{
    gz->input = malloc(FX_GUNZIP_INPUT_BYTES);
    if (!gz->input)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", gz->name);
    FX_TRY(refill(gz, 2, err));
    if (gz->end == 0)
        return fx_fail(err, FX_EINPUT, "%s: empty", gz->name);
    if (at_magic(gz)) {
        if (inflateInit2(&gz->inflater, GZIP_ONLY_WINDOW) != Z_OK)
            return fx_fail(err, FX_EFAIL, "%s: out of memory", gz->name);
        gz->is_gzip = gz->in_member = true;
    }
    return FX_OK;
}

enum fx_status fx_gunzip_open(struct fx_gunzip *gz, const char *path, struct fx_err *err)
{
    bool is_stdin = !path || strcmp(path, "-") == 0;

    *gz = (struct fx_gunzip){ .fd = STDIN_FILENO, .name = is_stdin ? "stdin" : path };
    if (!is_stdin)
        gz->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (gz->fd < 0)
        return fx_fail_errno(err, "%s", path);
    enum fx_status status = begin(gz, err);
    if (status != FX_OK)
        fx_gunzip_close(gz);
    return status;
}

/* After a member: another one, zeros up to the end of the file, or the end. */
static enum fx_status next_member(struct fx_gunzip *gz, struct fx_err *err)
{
    FX_TRY(refill(gz, 2, err));
    if (at_magic(gz)) {
        inflateReset(&gz->inflater);
        gz->in_member = true;
        return FX_OK;
    }
    while (gz->at < gz->end) {
        if (gz->input[gz->at] != 0)
            return fx_fail(err, FX_EINPUT, "%s: other bytes follow the gzip data", gz->name);
        gz->at++;
        FX_TRY(refill(gz, 1, err));
    }
    return FX_OK;
}

static enum fx_status inflate_some(struct fx_gunzip *gz, uint8_t *buf, size_t n, size_t *n_read,
                                   struct fx_err *err)
{
    z_stream *z = &gz->inflater;

    FX_TRY(refill(gz, 1, err));
    if (gz->at == gz->end)
        return fx_fail(err, FX_EINPUT, "%s: the gzip data is cut off", gz->name);
    z->next_in = gz->input + gz->at;
    z->avail_in = (uInt)(gz->end - gz->at);
    z->next_out = buf;
    z->avail_out = (uInt)n;
    int code = inflate(z, Z_NO_FLUSH);
    gz->n_in += gz->end - gz->at - z->avail_in;
    gz->at = gz->end - z->avail_in;
    *n_read = n - z->avail_out;
    if (code == Z_STREAM_END)
        gz->in_member = false;
    else if (code == Z_MEM_ERROR)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", gz->name);
    else if (code != Z_OK && code != Z_BUF_ERROR)
        return fx_fail(err, FX_EINPUT, "%s: the gzip data is damaged: %s", gz->name,
                       z->msg ? z->msg : zError(code));
    return FX_OK;
}

static enum fx_status copy_some(struct fx_gunzip *gz, uint8_t *buf, size_t n, size_t *n_read,
                                struct fx_err *err)
{
    FX_TRY(refill(gz, 1, err));
    *n_read = gz->end - gz->at < n ? gz->end - gz->at : n;
    memcpy(buf, gz->input + gz->at, *n_read);
    gz->at += *n_read;
    return FX_OK;
}

static enum fx_status check_size(const struct fx_gunzip *gz, struct fx_err *err)
{
    if (gz->n_out > FX_GUNZIP_BYTES_MAX)
        return fx_fail(err, FX_EINPUT, "%s: inflates to more than %" PRIu64 " MiB", gz->name,
                       FX_GUNZIP_BYTES_MAX >> 20);
    if (gz->is_gzip && gz->n_out > FX_GUNZIP_SHRUNK_BYTES_MAX &&
        gz->n_out / FX_GUNZIP_RATIO_MAX > gz->n_in)
        return fx_fail(err, FX_EINPUT,
                       "%s: inflates to more than %" PRIu64 " MiB at more than %d to 1", gz->name,
                       FX_GUNZIP_SHRUNK_BYTES_MAX >> 20, FX_GUNZIP_RATIO_MAX);
    return FX_OK;
}

enum fx_status fx_gunzip_read(struct fx_gunzip *gz, void *buf, size_t n, size_t *n_read,
                              struct fx_err *err)
{
    *n_read = 0;
    n = n > INT32_MAX ? INT32_MAX : n; /* zlib counts in unsigned int */
    if (!gz->is_gzip)
        FX_TRY(copy_some(gz, buf, n, n_read, err));
    while (gz->in_member && *n_read == 0) {
        FX_TRY(inflate_some(gz, buf, n, n_read, err));
        if (!gz->in_member)
            FX_TRY(next_member(gz, err));
    }
    gz->n_out += *n_read;
    return check_size(gz, err);
}

void fx_gunzip_close(struct fx_gunzip *gz)
{
    if (gz->is_gzip)
        inflateEnd(&gz->inflater);
    if (gz->fd != STDIN_FILENO)
        close(gz->fd);
    free(gz->input);
    *gz = (struct fx_gunzip){ .fd = STDIN_FILENO };
}
