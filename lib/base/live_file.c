/* Compared first, written only where it differs. */
#include "base/live_file.h"

#include "base/io.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum fx_status open_file(struct fx_live_file *file, struct fx_err *err)
{
    if (file->fd >= 0)
        return FX_OK;
    file->fd = open(file->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    file->is_behind = true;
    return file->fd < 0 ? fx_fail_errno(err, "%s", file->path) : FX_OK;
}

/* Whether the file goes on with these bytes. */
static enum fx_status compare(const struct fx_live_file *file, const char *text, size_t n,
                              bool *is_same, struct fx_err *err)
{
    char *old = malloc(n);

    if (!old)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", file->path);
    ssize_t got = pread(file->fd, old, n, file->at);
    *is_same = got == (ssize_t)n && memcmp(old, text, n) == 0;
    free(old);
    return got < 0 ? fx_fail_errno(err, "%s", file->path) : FX_OK;
}

static enum fx_status cut(struct fx_live_file *file, struct fx_err *err)
{
    file->is_behind = false;
    if (ftruncate(file->fd, file->at) != 0 || lseek(file->fd, file->at, SEEK_SET) < 0)
        return fx_fail_errno(err, "%s", file->path);
    return FX_OK;
}

enum fx_status fx_live_write(struct fx_live_file *file, const char *text, size_t n,
                             struct fx_err *err)
{
    bool is_same = false;

    FX_TRY(open_file(file, err));
    if (file->is_behind)
        FX_TRY(compare(file, text, n, &is_same, err));
    if (!is_same && file->is_behind)
        FX_TRY(cut(file, err));
    if (!is_same)
        FX_TRY(fx_write_full(file->fd, text, n, file->path, err));
    file->at += (off_t)n;
    return FX_OK;
}

enum fx_status fx_live_finish(struct fx_live_file *file, struct fx_err *err)
{
    FX_TRY(open_file(file, err));
    if (file->is_behind)
        FX_TRY(cut(file, err));
    if (fsync(file->fd) != 0)
        return fx_fail_errno(err, "%s", file->path);
    fx_sync_dir_of(file->path);
    fx_live_close(file);
    return FX_OK;
}

void fx_live_close(struct fx_live_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}
