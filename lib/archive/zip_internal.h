/* Zip archives: their fields, the reader (zip.c, zip_extract.c), the writer (zip_write.c).
 *
 * The reader goes by the central directory.  Local headers are only compared with it, never scanned
 * for: an archive whose two descriptions differ, a name that stands twice, or payloads that overlap
 * are refused, so that no two readers can see different content.
 * Format: PKWARE APPNOTE.TXT 6.3, sections 4.3 to 4.5. */
#ifndef FX_ARCHIVE_ZIP_INTERNAL_H
#define FX_ARCHIVE_ZIP_INTERNAL_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Little-endian fields and signatures of the zip format, shared by its reader and its writer. */

enum {
    FX_ZIP_LOCAL = 0x04034b50,
    FX_ZIP_CENTRAL = 0x02014b50,
    FX_ZIP_END = 0x06054b50,
    FX_ZIP_END64 = 0x06064b50,
    FX_ZIP_LOCATOR64 = 0x07064b50,
    FX_ZIP_DESCRIPTOR = 0x08074b50,
};

static inline uint16_t fx_zip_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint32_t fx_zip_u32(const uint8_t *at)
{
    return fx_zip_u16(at) | (uint32_t)fx_zip_u16(at + 2) << 16;
}

static inline uint64_t fx_zip_u64(const uint8_t *at)
{
    return fx_zip_u32(at) | (uint64_t)fx_zip_u32(at + 4) << 32;
}

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

/* Zip archives as PyTorch wants them: stored members, payloads at multiples of 64 bytes, fixed
 * dates.  The same members give the same bytes. */

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
