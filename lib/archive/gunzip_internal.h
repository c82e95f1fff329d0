/* The gzip layer of an archive: inflated and verified to the last byte by zlib.
 *
 * libarchive's own gzip filter accepts most flipped bits, so it never sees the compressed bytes:
 * archive/tar_internal.h feeds it from here.  Bytes that are not gzip are passed through unchanged.
 */
#ifndef FX_ARCHIVE_GUNZIP_INTERNAL_H
#define FX_ARCHIVE_GUNZIP_INTERNAL_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

/* Bombs are stopped by two limits: what an archive may inflate to at all (1.4 million CIFAR
 * images), and what it may inflate to when it is shrunk as no photographs can be (these: 1.1 to 1).
 */
#define FX_GUNZIP_BYTES_MAX (UINT64_C(1) << 32)
#define FX_GUNZIP_SHRUNK_BYTES_MAX (UINT64_C(1) << 28)
enum { FX_GUNZIP_RATIO_MAX = 100 };

enum { FX_GUNZIP_INPUT_BYTES = 1 << 16 };

struct fx_gunzip {
    int fd;           /* owned unless stdin */
    const char *name; /* borrowed: for messages */
    uint8_t *input;   /* owned: read but not yet inflated, bytes [at, end) */
    size_t at, end;
    bool fd_at_end;
    bool is_gzip, in_member;
    z_stream inflater;
    uint64_t n_in, n_out; /* compressed bytes used and bytes delivered so far */
};

/* fx_gunzip_open: opens path ("-" or NULL: stdin) and looks at its first bytes.  FX_EINPUT when
 * there are none.  Close after success only. */
enum fx_status fx_gunzip_open(struct fx_gunzip *gz, const char *path,
                              struct fx_err *err) FX_MUST_CHECK;

/* fx_gunzip_read: the next bytes, at most n; *n_read is 0 only at the end, when every CRC and
 * length was right.  Several gzip members in a row are one stream, as for gzip(1), and zeros may
 * follow the last one.  FX_EINPUT: cut off, damaged, other trailing bytes, or too large. */
enum fx_status fx_gunzip_read(struct fx_gunzip *gz, void *buf, size_t n, size_t *n_read,
                              struct fx_err *err) FX_MUST_CHECK;

void fx_gunzip_close(struct fx_gunzip *gz);

#endif
