/* The loops of struct fx_panel, for who has defined what vector_internal.h wants, and
 *   ROWS, COLUMNS  the largest panel in registers, rows x vectors */
#include "backend/cpu/product_internal.h"
#include "backend/cpu/vector_internal.h"

LOOP void panel(const struct fx_panel *p, int first, int rows, int columns)
{
    size_t a_row = p->a_row, a_depth = p->a_depth, b_depth = p->b_depth, b_column = p->b_column;
    vf sum[ROWS][COLUMNS];

#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 16
        for (int j = 0; j < columns; j++)
            sum[i][j] = (vf){ 0 };
    for (int part = 0; part < p->parts; part++) {
        const float *a = p->a + (size_t)first * a_row + (size_t)part * p->a_part;
        const float *b = p->b + (size_t)part * p->b_part;

        for (int k = 0; k < p->depth; k++, a += a_depth, b += b_depth) {
            vf right[COLUMNS];

#pragma GCC unroll 16
            for (int j = 0; j < columns; j++)
                right[j] = load_channels(b + (size_t)j * b_column);
#pragma GCC unroll 16
            for (int i = 0; i < rows; i++) {
                vf left = spread(a[(size_t)i * a_row]);

#pragma GCC unroll 16
                for (int j = 0; j < columns; j++)
                    sum[i][j] = multiply_add(left, right[j], sum[i][j]);
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 16
        for (int j = 0; j < columns; j++) {
            float *to = p->c + (size_t)(first + i) * p->c_row + (size_t)j * p->c_column;

            store_channels(to, p->add ? load_channels(to) + sum[i][j] : sum[i][j]);
        }
}

/* A function for each size. */
typedef void panel_fn(const struct fx_panel *p, int first);

#define PANEL(rows, columns)                                                                       \
    ENTRY void panel_##rows##_##columns(const struct fx_panel *p, int first)                       \
    {                                                                                              \
        panel(p, first, rows, columns);                                                            \
    }
#if COLUMNS == 4
#define PANELS(f, rows) f(rows, 1) f(rows, 2) f(rows, 3) f(rows, 4)
#else
#define PANELS(f, rows) f(rows, 1) f(rows, 2)
#endif
PANELS(PANEL, 1)
PANELS(PANEL, 2)
PANELS(PANEL, 3)
#if ROWS == 6
PANELS(PANEL, 4)
PANELS(PANEL, 5)
PANELS(PANEL, 6)
#endif

#define NAME(rows, columns) panel_##rows##_##columns,
static panel_fn *const panels[ROWS][COLUMNS] = {
    { PANELS(NAME, 1) }, { PANELS(NAME, 2) }, { PANELS(NAME, 3) },
#if ROWS == 6
    { PANELS(NAME, 4) }, { PANELS(NAME, 5) }, { PANELS(NAME, 6) },
#endif
};

/* Part i of n. */
LOOP void ask_for(const struct fx_ahead *a, int i, int n)
{
    int first = a->n * a->lines * i / n, end = a->n * a->lines * (i + 1) / n;
    int stretch = first < end ? first / a->lines : 0, line = first - stretch * a->lines;
    const char *at = (const char *)a->from + (size_t)stretch * a->step + (size_t)line * FX_LINE;

    for (; first < end; first++, at += FX_LINE) {
        __builtin_prefetch(at, 0, 2);
        if (++line == a->lines) {
            line = 0;
            at += a->step - (size_t)a->lines * FX_LINE;
        }
    }
}

/* The rows in panels of sizes as equal as can be: a last one of a row or two would waste time. */
ENTRY void product(const struct fx_panel *p)
{
    int n = (p->rows + ROWS - 1) / ROWS;

    for (int i = 0; i < n; i++) {
        int first = p->rows * i / n, end = p->rows * (i + 1) / n;

        ask_for(&p->ahead[0], i, n);
        ask_for(&p->ahead[1], i, n);
        panels[end - first - 1][p->columns - 1](p, first);
    }
}
