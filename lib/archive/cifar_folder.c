/* Reading files of a folder that may hold anything under the names that are looked for. */
#include "archive/cifar_internal.h"

#include "archive/tar_internal.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum fx_status fx_cifar_folder_open(struct fx_cifar_folder *folder, const char *path,
                                    struct fx_err *err)
{
    *folder = (struct fx_cifar_folder){ .fd = -1, .name = strdup(path) };
    if (!folder->name)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", path);
    folder->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* What is no folder is somebody else's to open and to complain about. */
    return folder->fd >= 0 || errno == ENOTDIR || errno == ENOENT ? FX_OK
                                                                  : fx_fail_errno(err, "%s", path);
}

void fx_cifar_folder_close(struct fx_cifar_folder *folder)
{
    if (folder->fd >= 0)
        close(folder->fd);
    free(folder->name);
    *folder = (struct fx_cifar_folder){ .fd = -1 };
}

bool fx_cifar_folder_has(const struct fx_cifar_folder *folder, const char *name)
{
    struct stat st;

    return fstatat(folder->fd, name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

enum fx_status fx_cifar_folder_enter(struct fx_cifar_folder *folder, const char *name,
                                     struct fx_err *err)
{
    struct fx_cifar_folder inner;
    char *path;

    if (asprintf(&path, "%s/%s", folder->name, name) < 0)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", folder->name);
    enum fx_status status = fx_cifar_folder_open(&inner, path, err);
    free(path);
    fx_cifar_folder_close(folder);
    *folder = inner;
    return status;
}

/* The whole of an open file, and the end behind it. */
static enum fx_status read_whole(int fd, size_t n, uint8_t **bytes, const char *where,
                                 struct fx_err *err)
{
    size_t got = 0;

    *bytes = malloc(n + 1);
    if (!*bytes)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", where);
    enum fx_status status = fx_read_full(fd, *bytes, n + 1, &got, where, err);
    if (status == FX_OK && got != n)
        status = fx_fail(err, FX_EINPUT, "%s: changes while it is read", where);
    if (status != FX_OK) {
        free(*bytes);
        *bytes = NULL;
    }
    return status;
}

static enum fx_status read_member(int fd, uint8_t **bytes, size_t *n_bytes, const char *where,
                                  struct fx_err *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return fx_fail_errno(err, "%s", where);
    if (!S_ISREG(st.st_mode))
        return fx_fail(err, FX_EINPUT, "%s: not a regular file", where);
    if (st.st_size > FX_TAR_MEMBER_BYTES_MAX)
        return fx_fail(err, FX_EINPUT, "%s: has %" PRId64 " bytes, more than %" PRId64 " MiB",
                       where, (int64_t)st.st_size, FX_TAR_MEMBER_BYTES_MAX >> 20);
    *n_bytes = (size_t)st.st_size;
    return read_whole(fd, *n_bytes, bytes, where, err);
}

enum fx_status fx_cifar_folder_read(const struct fx_cifar_folder *folder, const char *member,
                                    uint8_t **bytes, size_t *n_bytes, struct fx_err *err)
{
    char where[512];
    struct stat st;

    *bytes = NULL;
    *n_bytes = 0;
    snprintf(where, sizeof where, "%s: %s", folder->name, member);
    if (fstatat(folder->fd, member, &st, 0) != 0)
        return errno == ENOENT ? FX_OK : fx_fail_errno(err, "%s", where);
    if (S_ISDIR(st.st_mode))
        return FX_OK;
    if (!S_ISREG(st.st_mode))
        return fx_fail(err, FX_EINPUT, "%s: not a regular file", where);
    /* O_NONBLOCK: what was a file a moment ago may be a pipe without a writer. */
    int fd = openat(folder->fd, member, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return fx_fail_errno(err, "%s", where);
    enum fx_status status = read_member(fd, bytes, n_bytes, where, err);
    close(fd);
    return status;
}
