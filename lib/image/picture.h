/* A picture from a camera or a page, of any size, and what a model gets of it: 32 x 32 pixels. */
#ifndef FX_IMAGE_PICTURE_H
#define FX_IMAGE_PICTURE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* What is larger is refused by its header, before memory is taken for it. */
enum { FX_PICTURE_PIXELS_MAX = 1 << 26 };

struct fx_picture {
    uint8_t *rgb; /* owned: (height, width, 3) */
    int width, height;
    int orientation; /* EXIF's: 1 as it is, to 8 */
    size_t n_read;   /* bytes of the file; others may follow */
};

/* fx_picture_decode: JPEG (8 bits; grey, colour, CMYK) or PNG (any), told by content.  Colours are
 * those of Pillow's convert("RGB"), except that 16 bits of grey keep their high byte: alpha, gamma
 * and colour profiles are ignored.  FX_EINPUT: neither of the two, cut off, damaged, or too large;
 * name is for that message.  Close it after success only. */
enum fx_status fx_picture_decode(struct fx_picture *picture, const uint8_t *bytes, size_t n,
                                 const char *name, struct fx_err *err) FX_MUST_CHECK;
void fx_picture_fini(struct fx_picture *picture); /* accepts a zeroed record */

/* fx_picture_fit: upright, the shorter side resized to 32, the centre cut out; the bytes are those
 * of torchvision's Resize(32) and CenterCrop(32) on a PIL image.
 *   image  out  u8 (3, 32, 32)
 * FX_EFAIL: memory is short. */
enum fx_status fx_picture_fit(const struct fx_picture *picture, uint8_t *image,
                              struct fx_err *err) FX_MUST_CHECK;

/* fx_png_write: a PNG file of rgb u8 (height, width, 3), both sides from 1.  name is the file's,
 * for messages.  The same picture gives the same bytes. */
enum fx_status fx_png_write(const uint8_t *rgb, int width, int height, int fd, const char *name,
                            struct fx_err *err) FX_MUST_CHECK;

#endif
