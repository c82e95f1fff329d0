/* Which format it is, told by content, and whose turn it is then. */
#include "image/decode_internal.h"

#include "base/kind.h"

#include <stdbool.h>
#include <string.h>

static bool begins_with(const uint8_t *bytes, size_t n, const char *sign, size_t n_sign)
{
    return n >= n_sign && memcmp(bytes, sign, n_sign) == 0;
}

enum fx_status fx_picture_decode(struct fx_picture *picture, const uint8_t *bytes, size_t n,
                                 const char *name, struct fx_err *err)
{
    enum fx_status status;

    *picture = (struct fx_picture){ .orientation = 1 };
    if (n == 0)
        return fx_fail(err, FX_EINPUT, "%s: is empty", name);
    if (begins_with(bytes, n, "\xff\xd8\xff", 3)) {
        status = fx_jpeg_decode(picture, bytes, n, err);
    } else if (begins_with(bytes, n, "\x89PNG\r\n\x1a\n", 8)) {
        status = fx_png_decode(picture, bytes, n, err);
    } else {
        FX_TRY(fx_kind_check(FX_WANTED_PICTURE, name, bytes, n, err));
        return fx_fail(err, FX_EINPUT, "%s: is neither JPEG nor PNG", name);
    }
    if (status == FX_OK)
        return FX_OK;
    fx_picture_fini(picture);
    return fx_err_prepend(err, "%s: ", name);
}
