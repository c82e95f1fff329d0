/* The members of a CIFAR archive that was extracted, file by file, for archive/cifar.c. */
#ifndef FX_ARCHIVE_CIFAR_FOLDER_INTERNAL_H
#define FX_ARCHIVE_CIFAR_FOLDER_INTERNAL_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fx_cifar_folder {
    int fd;     /* owned; -1: not open */
    char *name; /* owned: for messages */
};

/* fx_cifar_folder_open: folder->fd stays -1, without a failure, when path is no folder.  Call
 * fx_cifar_folder_close in any case. */
enum fx_status fx_cifar_folder_open(struct fx_cifar_folder *folder, const char *path,
                                    struct fx_err *err) FX_MUST_CHECK;
void fx_cifar_folder_close(struct fx_cifar_folder *folder);

/* Whether there is a folder of that name in it, and from the folder to that one. */
bool fx_cifar_folder_has(const struct fx_cifar_folder *folder, const char *name);
enum fx_status fx_cifar_folder_enter(struct fx_cifar_folder *folder, const char *name,
                                     struct fx_err *err) FX_MUST_CHECK;

/* fx_cifar_folder_read: the content of a member; *bytes is malloc'ed and owned by the caller, and
 * NULL when there is none, or a folder in its place.  FX_EINPUT for anything but a regular file (a
 * named pipe is not waited for; a link to a file is one), for one that is too large and for one
 * that changes. */
enum fx_status fx_cifar_folder_read(const struct fx_cifar_folder *folder, const char *member,
                                    uint8_t **bytes, size_t *n_bytes,
                                    struct fx_err *err) FX_MUST_CHECK;

#endif
