/* Drawing a contact sheet. */
#include "data/sheet.h"

#include "data/dataset.h"
#include "data/glyphs_internal.h"

#include <stdlib.h>
#include <string.h>

enum { MARGIN = 4, LETTER_STEP = FX_GLYPH_WIDTH + 1, LINE_STEP = FX_GLYPH_HEIGHT + 1 };
enum { WHITE = 255, BLACK = 0, SCALES_PER_TEXT_SCALE = 3 };

enum fx_status fx_sheet_init(struct fx_sheet *sheet, int n, int n_columns, int scale, int n_lines,
                             struct fx_err *err)
{
    int text_scale = scale < SCALES_PER_TEXT_SCALE ? 1 : scale / SCALES_PER_TEXT_SCALE;
    int n_rows = (n + n_columns - 1) / n_columns;

    *sheet = (struct fx_sheet){
        .n_columns = n_columns,
        .scale = scale,
        .text_scale = text_scale,
        .cell_width = FX_IMAGE_SIDE * scale + MARGIN,
        .cell_height = FX_IMAGE_SIDE * scale + n_lines * LINE_STEP * text_scale + 2 * MARGIN,
    };
    sheet->width = n_columns * sheet->cell_width + MARGIN;
    sheet->height = n_rows * sheet->cell_height + MARGIN;
    size_t n_bytes = (size_t)sheet->width * (size_t)sheet->height * 3;
    sheet->rgb = malloc(n_bytes);
    if (!sheet->rgb)
        return fx_fail(err, FX_EFAIL, "a sheet of %d x %d pixels: out of memory", sheet->width,
                       sheet->height);
    memset(sheet->rgb, WHITE, n_bytes);
    return FX_OK;
}

void fx_sheet_fini(struct fx_sheet *sheet)
{
    free(sheet->rgb);
    *sheet = (struct fx_sheet){ 0 };
}

/* A filled square of the sheet with its top left corner at (x, y). */
static void put_square(struct fx_sheet *sheet, int x, int y, int side, const uint8_t rgb[3])
{
    for (int dy = 0; dy < side; dy++)
        for (int dx = 0; dx < side; dx++)
            memcpy(sheet->rgb + 3 * ((size_t)(y + dy) * (size_t)sheet->width + (size_t)(x + dx)),
                   rgb, 3);
}

static void find_cell(const struct fx_sheet *sheet, int i, int *x, int *y)
{
    *x = MARGIN + i % sheet->n_columns * sheet->cell_width;
    *y = MARGIN + i / sheet->n_columns * sheet->cell_height;
}

void fx_sheet_put_image(struct fx_sheet *sheet, int i, const uint8_t *image)
{
    int x, y;

    find_cell(sheet, i, &x, &y);
    for (int p = 0; p < FX_IMAGE_PIXELS; p++) {
        const uint8_t rgb[3] = { image[p], image[FX_IMAGE_PIXELS + p],
                                 image[2 * FX_IMAGE_PIXELS + p] };
        put_square(sheet, x + p % FX_IMAGE_SIDE * sheet->scale,
                   y + p / FX_IMAGE_SIDE * sheet->scale, sheet->scale, rgb);
    }
}

static void put_letter(struct fx_sheet *sheet, int x, int y, char letter)
{
    static const uint8_t black[3] = { BLACK, BLACK, BLACK };
    bool known = letter >= FX_GLYPH_FIRST && letter <= FX_GLYPH_LAST;
    const uint8_t *columns = fx_glyphs[(known ? letter : '?') - FX_GLYPH_FIRST];

    for (int dx = 0; dx < FX_GLYPH_WIDTH; dx++)
        for (int dy = 0; dy < FX_GLYPH_HEIGHT; dy++)
            if (columns[dx] >> dy & 1)
                put_square(sheet, x + dx * sheet->text_scale, y + dy * sheet->text_scale,
                           sheet->text_scale, black);
}

void fx_sheet_put_text(struct fx_sheet *sheet, int i, int line, const char *text)
{
    int x, y, n_letters_max = FX_IMAGE_SIDE * sheet->scale / (LETTER_STEP * sheet->text_scale);

    find_cell(sheet, i, &x, &y);
    y += FX_IMAGE_SIDE * sheet->scale + MARGIN / 2 + line * LINE_STEP * sheet->text_scale;
    for (int l = 0; l < n_letters_max && text[l] != '\0'; l++)
        put_letter(sheet, x + l * LETTER_STEP * sheet->text_scale, y, text[l]);
}
