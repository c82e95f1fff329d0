/* A contact sheet: images in rows and columns, each with lines of text below it. */
#ifndef FX_DATA_SHEET_H
#define FX_DATA_SHEET_H

#include "base/status.h"

#include <stdint.h>

struct fx_sheet {
    uint8_t *rgb; /* owned: (height, width, 3) */
    int width, height;
    int n_columns;
    int scale;      /* sheet pixels per image pixel */
    int text_scale; /* sheet pixels per pixel of a letter */
    int cell_width, cell_height;
};

/* fx_sheet_init: a white sheet for n images of 32 x 32 with n_lines lines of text each. */
enum fx_status fx_sheet_init(struct fx_sheet *sheet, int n, int n_columns, int scale, int n_lines,
                             struct fx_err *err) FX_MUST_CHECK;
void fx_sheet_fini(struct fx_sheet *sheet); /* accepts a zeroed record */

/* Draw into cell i (from 0, row by row).  image: u8 (3, 32, 32).  text is cut to the width of the
 * cell; bytes that are not printable ASCII become '?'. */
void fx_sheet_put_image(struct fx_sheet *sheet, int i, const uint8_t *image);
void fx_sheet_put_text(struct fx_sheet *sheet, int i, int line, const char *text);

#endif
