/* Zip archives as PyTorch wants them: stored members, payloads at multiples of 64 bytes, fixed
 * dates.  The same members give the same bytes. */
#ifndef FX_ARCHIVE_ZIP_WRITE_INTERNAL_H
#define FX_ARCHIVE_ZIP_WRITE_INTERNAL_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct fx_zip_writer {
    int fd;           /* borrowed; written from its current position, never sought */
    const char *name; /* borrowed: the file's name, for messages */
    uint64_t offset;  /* bytes written so far */
    uint64_t n_members;
    FILE *central; /* owned: the central directory so far */
    char *central_bytes;
    size_t n_central_bytes;
};

enum fx_status fx_zip_writer_init(struct fx_zip_writer *zip, int fd, const char *name,
                                  struct fx_err *err) FX_MUST_CHECK;
void fx_zip_writer_fini(struct fx_zip_writer *zip); /* accepts a zeroed record */

/* Writes one member; its name must be new, which is the caller's to see to. */
enum fx_status fx_zip_writer_add(struct fx_zip_writer *zip, const char *member, const void *data,
                                 size_t n_bytes, struct fx_err *err) FX_MUST_CHECK;
/* Writes the central directory and the end records. */
enum fx_status fx_zip_writer_finish(struct fx_zip_writer *zip, struct fx_err *err) FX_MUST_CHECK;

#endif
