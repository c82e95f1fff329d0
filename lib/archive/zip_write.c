/* Writing zip archives: headers first, since every payload is in memory; zip64 fields only where a
 * size, an offset or the number of members needs them. */
#include "archive/zip_internal.h"

#include "base/io.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    LOCAL_BYTES = 30,
    EXTRA_HEADER_BYTES = 4,
    ALIGNMENT = 64,  /* torch's own: what mmap=True and direct I/O want */
    PAD_ID = 0x4246, /* "FB": the extra field in which torch pads */
    ZIP64_ID = 1,
    VERSION = 20, /* of the format, 2.0; 4.5 with zip64 */
    VERSION64 = 45,
    FLAG_UTF8 = 1 << 11,
    DATE = 1 << 5 | 1, /* 1 January 1980, the first day of zip */
    NAME_BYTES_MAX = 4096,
};

static void put16(FILE *out, unsigned value)
{
    fputc((int)(value & 0xff), out);
    fputc((int)(value >> 8 & 0xff), out);
}

static void put32(FILE *out, uint64_t value)
{
    put16(out, (unsigned)(value & 0xffff));
    put16(out, (unsigned)(value >> 16 & 0xffff));
}

static void put64(FILE *out, uint64_t value)
{
    put32(out, value & UINT32_MAX);
    put32(out, value >> 32);
}

static uint32_t saturated32(uint64_t value)
{
    return value >= UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

enum fx_status fx_zip_writer_init(struct fx_zip_writer *zip, int fd, const char *name,
                                  struct fx_err *err)
{
    *zip = (struct fx_zip_writer){ .fd = fd, .name = name };
    zip->central = fx_memory_stream(&zip->central_bytes, &zip->n_central_bytes);
    return zip->central ? FX_OK : fx_fail(err, FX_EFAIL, "%s: out of memory", name);
}

void fx_zip_writer_fini(struct fx_zip_writer *zip)
{
    if (zip->central)
        fclose(zip->central);
    free(zip->central_bytes);
    *zip = (struct fx_zip_writer){ 0 };
}

/* The fields that local and central header share, from version to the length of the name. */
static void put_common(FILE *out, bool is_zip64, uint32_t crc, size_t n_bytes, size_t name_n)
{
    put16(out, is_zip64 ? VERSION64 : VERSION);
    put16(out, FLAG_UTF8);
    put16(out, 0); /* stored */
    put16(out, 0); /* time */
    put16(out, DATE);
    put32(out, crc);
    put32(out, saturated32(n_bytes));
    put32(out, saturated32(n_bytes));
    put16(out, (unsigned)name_n);
}

/* The local header, padded so that the payload starts at a multiple of 64. */
static void put_local(FILE *out, const struct fx_zip_writer *zip, const char *member, uint32_t crc,
                      size_t n_bytes)
{
    bool is_zip64 = n_bytes >= UINT32_MAX;
    size_t n_zip64 = is_zip64 ? EXTRA_HEADER_BYTES + 16 : 0;
    uint64_t start = zip->offset + LOCAL_BYTES + strlen(member) + n_zip64 + EXTRA_HEADER_BYTES;
    size_t n_pad = (size_t)(-start % ALIGNMENT);

    put32(out, FX_ZIP_LOCAL);
    put_common(out, is_zip64, crc, n_bytes, strlen(member));
    put16(out, (unsigned)(n_zip64 + EXTRA_HEADER_BYTES + n_pad));
    fputs(member, out);
    if (is_zip64) {
        put16(out, ZIP64_ID);
        put16(out, 16);
        put64(out, n_bytes);
        put64(out, n_bytes);
    }
    put16(out, PAD_ID);
    put16(out, (unsigned)n_pad);
    for (size_t i = 0; i < n_pad; i++)
        fputc('Z', out);
}

static void put_central(struct fx_zip_writer *zip, const char *member, uint32_t crc, size_t n_bytes)
{
    bool is_big = n_bytes >= UINT32_MAX, is_far = zip->offset >= UINT32_MAX;
    unsigned n_fields = (is_big ? 16 : 0) + (is_far ? 8 : 0);
    FILE *out = zip->central;

    put32(out, FX_ZIP_CENTRAL);
    put16(out, n_fields ? VERSION64 : VERSION);
    put_common(out, n_fields > 0, crc, n_bytes, strlen(member));
    put16(out, n_fields ? EXTRA_HEADER_BYTES + n_fields : 0);
    put16(out, 0); /* comment */
    put16(out, 0); /* disk */
    put16(out, 0); /* internal attributes */
    put32(out, 0); /* external attributes */
    put32(out, saturated32(zip->offset));
    fputs(member, out);
    if (n_fields > 0) {
        put16(out, ZIP64_ID);
        put16(out, n_fields);
    }
    if (is_big) {
        put64(out, n_bytes);
        put64(out, n_bytes);
    }
    if (is_far)
        put64(out, zip->offset);
}

static enum fx_status write_bytes(struct fx_zip_writer *zip, const void *bytes, size_t n,
                                  struct fx_err *err)
{
    zip->offset += n;
    return n > 0 ? fx_write_full(zip->fd, bytes, n, zip->name, err) : FX_OK;
}

enum fx_status fx_zip_writer_add(struct fx_zip_writer *zip, const char *member, const void *data,
                                 size_t n_bytes, struct fx_err *err)
{
    uint32_t crc = n_bytes > 0 ? (uint32_t)crc32_z(0, data, n_bytes) : 0;
    enum fx_status status;
    char *header = NULL;
    size_t n_header = 0;
    FILE *out;

    if (strlen(member) > NAME_BYTES_MAX)
        return fx_fail(err, FX_EFAIL, "%s: a member's name is too long", zip->name);
    out = fx_memory_stream(&header, &n_header);
    if (!out)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", zip->name);
    put_local(out, zip, member, crc, n_bytes);
    put_central(zip, member, crc, n_bytes);
    if (fclose(out) != 0) {
        status = fx_fail(err, FX_EFAIL, "%s: out of memory", zip->name);
        goto out;
    }
    zip->n_members++;
    FX_TRY_OUT(write_bytes(zip, header, n_header, err));
    FX_TRY_OUT(write_bytes(zip, data, n_bytes, err));
out:
    free(header);
    return status;
}

/* The end records; the zip64 ones only where the classic one cannot say it. */
static void put_end(FILE *out, uint64_t n_members, uint64_t offset, uint64_t n_bytes)
{
    uint64_t end = offset + n_bytes;

    if (n_members >= UINT16_MAX || offset >= UINT32_MAX || n_bytes >= UINT32_MAX) {
        put32(out, FX_ZIP_END64);
        put64(out, 44); /* bytes of the record after this field */
        put16(out, VERSION64);
        put16(out, VERSION64);
        put64(out, 0); /* this disk, disk of the directory */
        put64(out, n_members);
        put64(out, n_members);
        put64(out, n_bytes);
        put64(out, offset);
        put32(out, FX_ZIP_LOCATOR64);
        put32(out, 0);
        put64(out, end);
        put32(out, 1); /* number of disks */
    }
    put32(out, FX_ZIP_END);
    put32(out, 0); /* this disk, disk of the directory */
    put16(out, n_members >= UINT16_MAX ? UINT16_MAX : (unsigned)n_members);
    put16(out, n_members >= UINT16_MAX ? UINT16_MAX : (unsigned)n_members);
    put32(out, saturated32(n_bytes));
    put32(out, saturated32(offset));
    put16(out, 0); /* comment */
}

enum fx_status fx_zip_writer_finish(struct fx_zip_writer *zip, struct fx_err *err)
{
    uint64_t offset = zip->offset;
    bool is_full;

    fflush(zip->central);
    put_end(zip->central, zip->n_members, offset, zip->n_central_bytes);
    is_full = fclose(zip->central) != 0;
    zip->central = NULL;
    if (is_full)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", zip->name);
    return write_bytes(zip, zip->central_bytes, zip->n_central_bytes, err);
}
