/* The content of a zip member: checked, and inflated where it is deflated. */
#include "archive/zip_internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { CHECK_BYTES = 64 * 1024 };

static enum fx_status bad(const struct fx_zip *zip, const struct fx_zip_member *member,
                          struct fx_err *err, const char *why)
{
    return fx_fail(err, FX_EINPUT, "%s: member %s: %s", zip->name, member->name, why);
}

static unsigned chunk(size_t n)
{
    return n > UINT_MAX ? UINT_MAX : (unsigned)n;
}

/* Inflates through `z`, never past the declared size.  With `out` NULL the content is only summed
 * up.  One byte of slack tells a member that is longer than declared from one that ends there. */
static enum fx_status inflate_member(const struct fx_zip *zip, const struct fx_zip_member *member,
                                     z_stream *z, uint8_t *out, uint32_t *crc, struct fx_err *err)
{
    size_t n_in = member->n_packed_bytes, n_out = 0;
    uint8_t scratch[CHECK_BYTES];
    int result = Z_OK;

    z->next_in = (Bytef *)zip->bytes + member->data_offset;
    while (result != Z_STREAM_END) {
        size_t left = member->n_bytes - n_out;
        uint8_t *at = out && left > 0 ? out + n_out : scratch;
        size_t room = left == 0 ? 1 : out ? left : left < CHECK_BYTES ? left : CHECK_BYTES;
        unsigned fed = chunk(n_in), asked = chunk(room);

        z->avail_in = fed;
        z->next_out = at;
        z->avail_out = asked;
        result = inflate(z, Z_NO_FLUSH);
        n_in -= fed - z->avail_in;
        if (result != Z_OK && result != Z_STREAM_END)
            return bad(zip, member, err,
                       result == Z_MEM_ERROR ? "out of memory" : "deflate data is corrupt or cut");
        if (left == 0 && z->avail_out == 0)
            return bad(zip, member, err, "expands to more than its declared size");
        *crc = (uint32_t)crc32_z(*crc, at, asked - z->avail_out);
        n_out += asked - z->avail_out;
    }
    if (n_out != member->n_bytes || n_in != 0)
        return bad(zip, member, err, "deflate data ends early");
    return FX_OK;
}

static enum fx_status read_member(const struct fx_zip *zip, const struct fx_zip_member *member,
                                  uint8_t *out, struct fx_err *err)
{
    const uint8_t *data = zip->bytes + member->data_offset;
    enum fx_status status = FX_OK;
    uint32_t crc = 0;

    if (!member->is_deflated) {
        if (member->crc != 0)
            crc = (uint32_t)crc32_z(0, data, member->n_bytes);
        if (out && member->n_bytes > 0)
            memcpy(out, data, member->n_bytes);
    } else {
        z_stream z = { 0 };
        if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
            return fx_fail(err, FX_EFAIL, "%s: zlib does not start", zip->name);
        status = inflate_member(zip, member, &z, out, &crc, err);
        inflateEnd(&z);
    }
    if (status == FX_OK && member->crc != 0 && crc != member->crc)
        status = fx_fail(err, FX_EINPUT, "%s: member %s: CRC is %08x, should be %08x: damaged",
                         zip->name, member->name, crc, member->crc);
    return status;
}

enum fx_status fx_zip_check(const struct fx_zip *zip, const struct fx_zip_member *member,
                            struct fx_err *err)
{
    return read_member(zip, member, NULL, err);
}

enum fx_status fx_zip_extract(const struct fx_zip *zip, const struct fx_zip_member *member,
                              void *out, struct fx_err *err)
{
    return read_member(zip, member, out, err);
}
