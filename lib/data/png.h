/* A PNG writer: 8 bits per channel, RGB (W3C PNG specification, second edition). */
#ifndef FX_DATA_PNG_H
#define FX_DATA_PNG_H

#include "base/status.h"

#include <stdint.h>

/* fx_png_write: rgb u8 (height, width, 3), both sides from 1.  name is the file's, for messages. */
enum fx_status fx_png_write(const uint8_t *rgb, int width, int height, int fd, const char *name,
                            struct fx_err *err) FX_MUST_CHECK;

#endif
