/* PNG by zlib: a signature and three chunks.  The same picture gives the same bytes. */
#include "data/png.h"

#include "base/io.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { LENGTH_BYTES = 4, TYPE_BYTES = 4, CRC_BYTES = 4, HEADER_BYTES = 13 };
enum { BITS_PER_CHANNEL = 8, COLOUR_RGB = 2, COMPRESSION_LEVEL = 6 };

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Length, type, n bytes of data, CRC of the last two. */
static enum fx_status write_chunk(const char *type, const uint8_t *data, uint32_t n, int fd,
                                  const char *name, struct fx_err *err)
{
    uint8_t before[LENGTH_BYTES + TYPE_BYTES], after[CRC_BYTES];

    put_u32(before, n);
    memcpy(before + LENGTH_BYTES, type, TYPE_BYTES);
    uLong crc = crc32(0, before + LENGTH_BYTES, TYPE_BYTES);
    if (n > 0)
        crc = crc32(crc, data, n);
    put_u32(after, (uint32_t)crc);
    FX_TRY(fx_write_full(fd, before, sizeof before, name, err));
    FX_TRY(fx_write_full(fd, data, n, name, err));
    return fx_write_full(fd, after, sizeof after, name, err);
}

/* The lines, each behind its filter byte (0: none), compressed; malloc'ed, NULL when memory is
 * short. */
static uint8_t *compress_lines(const uint8_t *rgb, size_t width, size_t height, uLongf *n)
{
    size_t n_line = 3 * width + 1;
    uint8_t *lines = calloc(height, n_line);
    uint8_t *packed = malloc(compressBound(height * n_line));

    *n = compressBound(height * n_line);
    for (size_t y = 0; lines && y < height; y++)
        memcpy(lines + y * n_line + 1, rgb + y * 3 * width, 3 * width);
    if (!lines || !packed ||
        compress2(packed, n, lines, height * n_line, COMPRESSION_LEVEL) != Z_OK) {
        free(packed);
        packed = NULL;
    }
    free(lines);
    return packed;
}

enum fx_status fx_png_write(const uint8_t *rgb, int width, int height, int fd, const char *name,
                            struct fx_err *err)
{
    static const uint8_t signature[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
    uint8_t header[HEADER_BYTES] = { [8] = BITS_PER_CHANNEL, [9] = COLOUR_RGB };
    enum fx_status status;
    uLongf n;
    uint8_t *packed = compress_lines(rgb, (size_t)width, (size_t)height, &n);

    if (!packed)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", name);
    put_u32(header, (uint32_t)width);
    put_u32(header + 4, (uint32_t)height);
    FX_TRY_OUT(fx_write_full(fd, signature, sizeof signature, name, err));
    FX_TRY_OUT(write_chunk("IHDR", header, sizeof header, fd, name, err));
    FX_TRY_OUT(write_chunk("IDAT", packed, (uint32_t)n, fd, name, err));
    FX_TRY_OUT(write_chunk("IEND", header, 0, fd, name, err));
out:
    free(packed);
    return status;
}
