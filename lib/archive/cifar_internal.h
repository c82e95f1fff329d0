/* The members of a CIFAR archive, one function for each kind: between archive/cifar.c, which knows
 * the members' names, and the two encodings; and the members of one that was extracted.
 *
 * A batch decoder takes over *bytes (malloc'ed, *bytes becomes NULL) and turns it into the part's
 * images where it stands.  `where` is "ARCHIVE: MEMBER", for messages.  All fail with FX_EINPUT. */
#ifndef FX_ARCHIVE_CIFAR_INTERNAL_H
#define FX_ARCHIVE_CIFAR_INTERNAL_H

#include "archive/cifar.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* cifar_binary.c: records of labels (coarse and fine, or one) and 3072 pixels; names one a line. */
enum fx_status fx_cifar_binary_batch(uint8_t **bytes, size_t n_bytes, bool has_coarse,
                                     struct fx_cifar_part *part, const char *where,
                                     struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_cifar_binary_names(const uint8_t *bytes, size_t n_bytes,
                                     struct fx_cifar_names *names, const char *where,
                                     struct fx_err *err) FX_MUST_CHECK;

/* cifar_python.c: pickled dicts of Python 2 or 3, lists of labels and a NumPy array (n, 3072). */
enum fx_status fx_cifar_python_batch(uint8_t **bytes, size_t n_bytes, bool has_coarse,
                                     struct fx_cifar_part *part, const char *where,
                                     struct fx_err *err) FX_MUST_CHECK;
/* !coarse: the meta of CIFAR-10. */
enum fx_status fx_cifar_python_names(const uint8_t *bytes, size_t n_bytes,
                                     struct fx_cifar_names *fine, struct fx_cifar_names *coarse,
                                     const char *where, struct fx_err *err) FX_MUST_CHECK;

/* cifar_part.c: memory of parts and names. */
enum fx_status fx_cifar_part_init(struct fx_cifar_part *part, size_t n, const char *where,
                                  struct fx_err *err) FX_MUST_CHECK; /* labels of 0, no images */
void fx_cifar_part_free(struct fx_cifar_part *part);
/* Appends all images of `from` and frees it. */
enum fx_status fx_cifar_part_append(struct fx_cifar_part *part, struct fx_cifar_part *from,
                                    const char *where, struct fx_err *err) FX_MUST_CHECK;
/* Appends a copy; FX_EINPUT when it is empty, not printable UTF-8 or one too many. */
enum fx_status fx_cifar_names_add(struct fx_cifar_names *names, const uint8_t *text, size_t n,
                                  const char *where, struct fx_err *err) FX_MUST_CHECK;
void fx_cifar_names_free(struct fx_cifar_names *names);

/* cifar_folder.c: an archive that was extracted, read file by file. */
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
