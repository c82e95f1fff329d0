/* The matrix product inside our own convolutions, one panel of the result at a time. */
#ifndef FX_BACKEND_CPU_PRODUCT_INTERNAL_H
#define FX_BACKEND_CPU_PRODUCT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

enum { FX_LINE = 64 }; /* bytes in a line of the cache */

/* What the work after a product will read: n stretches of `lines` lines, `step` bytes from one to
 * the next.  A product asks for them, a few at a time, while it computes, so that they are in the
 * L2 then. */
struct fx_ahead {
    const void *from;
    size_t step;
    int n, lines;
};

/* C (rows x columns * block) = A (rows x depth) B (depth x columns * block), or +=; A and B may lie
 * in parts of `depth` each.  Distances in floats, from one to the next; columns are vectors. */
struct fx_panel {
    const float *a;
    size_t a_row, a_depth, a_part;
    const float *b;
    size_t b_depth, b_column, b_part;
    float *c;
    size_t c_row, c_column;
    int rows, columns, depth, parts;
    bool add;
    struct fx_ahead ahead[2];
};

#endif
