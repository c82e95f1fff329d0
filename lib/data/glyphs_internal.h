/* The letters of the contact sheet: private to lib/data. */
#ifndef FX_DATA_GLYPHS_INTERNAL_H
#define FX_DATA_GLYPHS_INTERNAL_H

#include <stdint.h>

enum { FX_GLYPH_WIDTH = 5, FX_GLYPH_HEIGHT = 8, FX_GLYPH_FIRST = ' ', FX_GLYPH_LAST = '~' };

/* Five columns from left to right, the lowest bit is the top pixel. */
extern const uint8_t fx_glyphs[FX_GLYPH_LAST - FX_GLYPH_FIRST + 1][FX_GLYPH_WIDTH];

#endif
