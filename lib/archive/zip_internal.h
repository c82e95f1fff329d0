/* Zip archives, read by their central directory.
 *
 * Local headers are only compared with it, never scanned for: an archive whose two descriptions
 * differ, a name that stands twice, or payloads that overlap are refused, so that no two readers
 * can see different content.  Format: PKWARE APPNOTE.TXT 6.3, sections 4.3 to 4.5. */
#ifndef FX_ARCHIVE_ZIP_INTERNAL_H
#define FX_ARCHIVE_ZIP_INTERNAL_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fx_zip_member {
    char *name;          /* owned by the zip; printable, relative, no ".." */
    size_t name_n_bytes; /* without the NUL */
    bool is_deflated;    /* otherwise stored */
    uint16_t flags;
    uint32_t crc; /* 0: the writer computed none */
    size_t n_packed_bytes;
    size_t n_bytes;
    size_t header_offset; /* of the local header */
    size_t data_offset;   /* of the payload */
    size_t end_offset;    /* behind payload and data descriptor */
};

struct fx_zip {
    const uint8_t *bytes; /* borrowed: the file */
    size_t n_bytes;
    const char *name;              /* borrowed: the file's name, for messages */
    struct fx_zip_member *members; /* owned; sorted by name */
    size_t n_members;
};

enum { FX_ZIP_MEMBERS_MAX = 1000000 };

bool fx_zip_is_zip(const uint8_t *bytes, size_t n_bytes);

/* fx_zip_open: reads the directory of an archive in memory and checks every member's headers and
 * place.  FX_EINPUT: "FILE: what: why".  Call fx_zip_close also after a failure. */
enum fx_status fx_zip_open(struct fx_zip *zip, const uint8_t *bytes, size_t n_bytes,
                           const char *name, struct fx_err *err) FX_MUST_CHECK;
void fx_zip_close(struct fx_zip *zip); /* accepts a zeroed record */

const struct fx_zip_member *fx_zip_find(const struct fx_zip *zip, const char *name); /* or NULL */

/* fx_zip_check: reads the whole payload and compares length and CRC.  FX_EINPUT when they differ;
 * a stored CRC of 0 stands for "not computed". */
enum fx_status fx_zip_check(const struct fx_zip *zip, const struct fx_zip_member *member,
                            struct fx_err *err) FX_MUST_CHECK;

/* fx_zip_extract: as fx_zip_check, and leaves the content in out (member->n_bytes of it). */
enum fx_status fx_zip_extract(const struct fx_zip *zip, const struct fx_zip_member *member,
                              void *out, struct fx_err *err) FX_MUST_CHECK;

#endif
