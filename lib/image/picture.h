/* JPEG and PNG files: decoding, resizing to the 32 x 32 pixels that a model takes, writing PNG. */
#ifndef FX_IMAGE_PICTURE_H
#define FX_IMAGE_PICTURE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* A picture with more pixels is refused after its header, before memory is allocated for it. */
enum { FX_PICTURE_PIXELS_MAX = 1 << 26 };

struct fx_picture {
    uint8_t *rgb; /* owned: (height, width, 3) */
    int width, height;
    int orientation; /* EXIF tag, 1..8; 1: upright */
    size_t n_read;   /* bytes of the file; more may follow them */
};

/* fx_picture_decode: JPEG (8 bits; grey, colour, CMYK) or PNG (any), recognised by content. Colours
 * are those of Pillow's convert("RGB"), except that 16-bit grey keeps its high byte; alpha, gamma
 * and colour profiles are ignored.  FX_EINPUT: another format, truncated, damaged or too large;
 * name is for that message.  FX_EFAIL: out of memory.  fx_picture_fini after success only. */
enum fx_status fx_picture_decode(struct fx_picture *picture, const uint8_t *bytes, size_t n,
                                 const char *name, struct fx_err *err) FX_MUST_CHECK;
void fx_picture_fini(struct fx_picture *picture); /* accepts a zeroed record */

/* fx_picture_fit: rotates the picture upright, resizes the shorter side to 32 and crops the centre;
 * the bytes are those of torchvision's Resize(32) and CenterCrop(32) on a PIL image.
 *   image  out  u8 (3, 32, 32)
 * FX_EFAIL: memory is short. */
enum fx_status fx_picture_fit(const struct fx_picture *picture, uint8_t *image,
                              struct fx_err *err) FX_MUST_CHECK;

/* fx_png_write: writes rgb u8 (height, width, 3) as a PNG file to fd; name is for messages.  The
 * same picture gives the same bytes. */
enum fx_status fx_png_write(const uint8_t *rgb, int width, int height, int fd, const char *name,
                            struct fx_err *err) FX_MUST_CHECK;

#endif
