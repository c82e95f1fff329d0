/* The two formats, each through its library; without the file's name in messages. */
#ifndef FX_IMAGE_DECODE_INTERNAL_H
#define FX_IMAGE_DECODE_INTERNAL_H

#include "image/picture.h"

/* fx_picture_allocate: width, height and memory for them.  FX_EINPUT: none, or too many. */
enum fx_status fx_picture_allocate(struct fx_picture *picture, int64_t width, int64_t height,
                                   struct fx_err *err) FX_MUST_CHECK;

/* What these leave in *picture after a failure, the caller frees. */
enum fx_status fx_jpeg_decode(struct fx_picture *picture, const uint8_t *bytes, size_t n,
                              struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_png_decode(struct fx_picture *picture, const uint8_t *bytes, size_t n,
                             struct fx_err *err) FX_MUST_CHECK;

/* fx_exif_orientation: the tag Orientation of the first directory of a TIFF header, as EXIF has it
 * (CIPA DC-008, 4.6.4); 1 when there is none, or nonsense. */
int fx_exif_orientation(const uint8_t *tiff, size_t n);

#endif
