/* A tar archive read in order, in memory, through libarchive: nothing is ever written to disk. */
#ifndef FX_ARCHIVE_TAR_INTERNAL_H
#define FX_ARCHIVE_TAR_INTERNAL_H

#include "archive/gunzip_internal.h"

struct archive;

/* The most that one member may hold when it is read into memory. */
#define FX_TAR_MEMBER_BYTES_MAX (INT64_C(1) << 31)

struct fx_tar {
    struct fx_gunzip input;
    struct archive *reader;      /* owned */
    uint8_t *block;              /* owned: what the reader looks at */
    bool has_begun;              /* one header was right: what follows is tar */
    enum fx_status input_status; /* of a failed read, with its message: libarchive keeps neither */
    struct fx_err input_err;
};

/* One member; valid until the next call. */
struct fx_tar_entry {
    const char *path; /* borrowed */
    bool is_file;     /* a regular file: no link, no holes (a GiB of them costs nothing) */
    bool is_folder;
    int64_t n_bytes; /* as announced */
};

/* fx_tar_open: path of a .tar.gz or .tar, "-" or NULL: stdin.  Call fx_tar_close also after a
 * failure. */
enum fx_status fx_tar_open(struct fx_tar *tar, const char *path, struct fx_err *err) FX_MUST_CHECK;

/* fx_tar_next: the next member, or !entry->path at the end, when the whole input has been
 * read and verified.  FX_EINPUT on a damaged archive, and on an absolute path or one with "..". */
enum fx_status fx_tar_next(struct fx_tar *tar, struct fx_tar_entry *entry,
                           struct fx_err *err) FX_MUST_CHECK;

/* fx_tar_read: the content of that member; *bytes is malloc'ed and owned by the caller.  Memory
 * grows with what arrives, not with what is announced. */
enum fx_status fx_tar_read(struct fx_tar *tar, const struct fx_tar_entry *entry, uint8_t **bytes,
                           size_t *n_bytes, struct fx_err *err) FX_MUST_CHECK;

void fx_tar_close(struct fx_tar *tar);

#endif
