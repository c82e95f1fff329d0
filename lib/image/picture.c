/* What both formats ask for: which way up a picture is, and memory for what is not too large. */
#include "image/decode_internal.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- which way up ---------------------------------------------------------------------------- */

enum { HEADER_BYTES = 8, COUNT_BYTES = 2, ENTRY_BYTES = 12, VALUE_AT = 8 };
enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, MAGIC = 42, ORIENTATION_MAX = 8 };

static uint32_t number(const uint8_t *at, int n_bytes, bool is_little)
{
    uint32_t value = 0;

    for (int i = 0; i < n_bytes; i++)
        value = value << 8 | at[is_little ? n_bytes - 1 - i : i];
    return value;
}

int fx_exif_orientation(const uint8_t *tiff, size_t n)
{
    if (n < HEADER_BYTES || (memcmp(tiff, "II", 2) != 0 && memcmp(tiff, "MM", 2) != 0))
        return 1;
    bool is_little = tiff[0] == 'I';
    size_t at = number(tiff + 4, 4, is_little);
    if (number(tiff + 2, 2, is_little) != MAGIC || at > n - COUNT_BYTES)
        return 1;
    uint32_t n_entries = number(tiff + at, COUNT_BYTES, is_little);
    at += COUNT_BYTES;
    for (; n_entries > 0 && n - at >= ENTRY_BYTES; n_entries--, at += ENTRY_BYTES) {
        const uint8_t *entry = tiff + at;
        uint32_t value = number(entry + VALUE_AT, 2, is_little);
        if (number(entry, 2, is_little) == TAG_ORIENTATION)
            return number(entry + 2, 2, is_little) == TYPE_SHORT && value >= 1 &&
                           value <= ORIENTATION_MAX
                       ? (int)value
                       : 1;
    }
    return 1;
}

/* ---- pixels ---------------------------------------------------------------------------------- */

enum fx_status fx_picture_allocate(struct fx_picture *picture, int64_t width, int64_t height,
                                   struct fx_err *err)
{
    if (width < 1 || height < 1)
        return fx_fail(err, FX_EINPUT, "has no pixels: %" PRId64 " x %" PRId64, width, height);
    if (width > FX_PICTURE_PIXELS_MAX / height)
        return fx_fail(err, FX_EINPUT,
                       "%" PRId64 " x %" PRId64 " pixels: more than %d are not read", width, height,
                       FX_PICTURE_PIXELS_MAX);
    picture->width = (int)width;
    picture->height = (int)height;
    picture->rgb = malloc(3 * (size_t)width * (size_t)height);
    if (!picture->rgb)
        return fx_fail(err, FX_EFAIL, "out of memory for %" PRId64 " x %" PRId64 " pixels", width,
                       height);
    return FX_OK;
}

void fx_picture_fini(struct fx_picture *picture)
{
    free(picture->rgb);
    *picture = (struct fx_picture){ 0 };
}
