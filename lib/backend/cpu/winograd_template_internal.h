/* The body of winograd_*.c, which define what vector_internal.h wants, BF16, ROWS and COLUMNS
 * (product_template_internal.h), and
 *   LOOPS  name of the struct fx_winograd_loops to define
 *
 * The points of F(4x4, 3x3) are 0, +-3/4, +-3/2 and infinity: exact in binary, and with less error
 * than the usual 0, +-1, +-2 (tests/unit/cpu_conv.c prints it). */
#include "backend/cpu/winograd_internal.h"

#include "backend/cpu/product_template_internal.h"

enum { IN = 6, OUT = FX_WINOGRAD_TILE, TAPS = 3 };

/* The points a and b = 2 a, and the factors 1 / f of the rows of G. */
#define A1 0.75f
#define A2 0.5625f
#define A3 0.421875f
#define B1 1.5f
#define B2 2.25f
#define B3 3.375f
#define G0 (1 / 1.265625f)
#define GA (1 / -1.8984375f)
#define GB (1 / 7.59375f)

LOOP vf times_add(float a, vf b, vf c)
{
    return multiply_add(spread(a), b, c);
}

/* B' x, of one row or column. */
LOOP void to_points(const vf x[IN], vf v[IN])
{
    vf even_a = times_add(-B2, x[2], x[4]), odd_a = times_add(-B2, x[1], x[3]);
    vf even_b = times_add(-A2, x[2], x[4]), odd_b = times_add(-A2, x[1], x[3]);

    v[0] = times_add(A2 * B2, x[0], times_add(-(A2 + B2), x[2], x[4]));
    v[1] = times_add(A1, odd_a, even_a);
    v[2] = times_add(-A1, odd_a, even_a);
    v[3] = times_add(B1, odd_b, even_b);
    v[4] = times_add(-B1, odd_b, even_b);
    v[5] = times_add(A2 * B2, x[1], times_add(-(A2 + B2), x[3], x[5]));
}

/* A' m */
LOOP void from_points(const vf m[IN], vf y[OUT])
{
    vf sum_a = m[1] + m[2], sum_b = m[3] + m[4], dif_a = m[1] - m[2], dif_b = m[3] - m[4];

    y[0] = m[0] + (sum_a + sum_b);
    y[1] = times_add(B1, dif_b, A1 * dif_a);
    y[2] = times_add(B2, sum_b, A2 * sum_a);
    y[3] = times_add(B3, dif_b, times_add(A3, dif_a, m[5]));
}

/* A dy */
LOOP void gradient_to_points(const vf y[OUT], vf m[IN])
{
    vf even_a = times_add(A2, y[2], y[0]), odd_a = times_add(A3, y[3], A1 * y[1]);
    vf even_b = times_add(B2, y[2], y[0]), odd_b = times_add(B3, y[3], B1 * y[1]);

    m[0] = y[0];
    m[1] = even_a + odd_a;
    m[2] = even_a - odd_a;
    m[3] = even_b + odd_b;
    m[4] = even_b - odd_b;
    m[5] = y[3];
}

/* G w */
LOOP void weights_to_points(const vf w[TAPS], vf u[IN])
{
    vf even_a = times_add(GA * A2, w[2], GA * w[0]), odd_a = (GA * A1) * w[1];
    vf even_b = times_add(GB * B2, w[2], GB * w[0]), odd_b = (GB * B1) * w[1];

    u[0] = G0 * w[0];
    u[1] = even_a + odd_a;
    u[2] = even_a - odd_a;
    u[3] = even_b + odd_b;
    u[4] = even_b - odd_b;
    u[5] = w[2];
}

/* G' u */
LOOP void weights_from_points(const vf u[IN], vf w[TAPS])
{
    vf sum_a = u[1] + u[2], sum_b = u[3] + u[4], dif_a = u[1] - u[2], dif_b = u[3] - u[4];

    w[0] = times_add(G0, u[0], times_add(GA, sum_a, GB * sum_b));
    w[1] = times_add(GA * A1, dif_a, (GB * B1) * dif_b);
    w[2] = times_add(GA * A2, sum_a, times_add(GB * B2, sum_b, u[5]));
}

/* ---- tiles ---- */

/* Where a tile lies: its image, and the first pixel of its output. */
struct place {
    int image, y, x;
};

LOOP struct place place_of(const struct fx_tiling *t, int tile)
{
    int of_image = t->rows * t->columns, in_image = tile % of_image;

    return (struct place){ tile / of_image, in_image / t->columns * OUT,
                           in_image % t->columns * OUT };
}

/* Which of IN pixels of a row or column lie in the map: first .. end - 1. */
struct span {
    int first, end;
};

LOOP struct span span_of(int at, int n, int size)
{
    return (struct span){ at < 0 ? -at : 0, at + n > size ? size - at : n };
}

/* A norm's coefficients of a block, if there is one. */
struct norm {
    bool is_there;
    vf scale, shift;
};

LOOP vf load_normed(const value *from, const struct norm *norm)
{
    vf x = load(from);

    return norm->is_there ? relu_of(x * norm->scale + norm->shift) : x;
}

/* Rows of the map outside of `rows` are zeros, and so are what becomes of them. */
LOOP void input_tile(const value *from, size_t row, struct span rows, struct span columns,
                     const struct norm *norm, float *to, size_t point)
{
    vf half[IN][IN], x[IN], v[IN];

    for (int r = 0; r < IN; r++) {
        if (r < rows.first || r >= rows.end) {
            for (int c = 0; c < IN; c++)
                half[r][c] = (vf){ 0 };
            continue;
        }
        for (int c = 0; c < IN; c++)
            x[c] = c >= columns.first && c < columns.end
                       ? load_normed(from + (size_t)r * row + (size_t)(c * BLOCK), norm)
                       : (vf){ 0 };
        to_points(x, half[r]);
    }
    for (int c = 0; c < IN; c++) {
        for (int r = 0; r < IN; r++)
            x[r] = half[r][c];
        to_points(x, v);
        for (int r = 0; r < IN; r++)
            store_channels(to + (size_t)(r * IN + c) * point, v[r]);
    }
}

/* The usual places of a tile, each by itself. */
LOOP void input_at(const value *from, size_t row, struct span rows, struct span columns,
                   const struct norm *norm, float *to, size_t point)
{
    if (columns.first == 0 && columns.end == IN)
        input_tile(from, row, rows, (struct span){ 0, IN }, norm, to, point);
    else if (columns.first == 1 && columns.end == IN)
        input_tile(from, row, rows, (struct span){ 1, IN }, norm, to, point);
    else if (columns.first == 0 && columns.end == IN - 1)
        input_tile(from, row, rows, (struct span){ 0, IN - 1 }, norm, to, point);
    else
        input_tile(from, row, rows, columns, norm, to, point);
}

ENTRY void input(const struct fx_tiling *t, const void *x, int tile, int n_tiles, int n_blocks,
                 const struct fx_conv_norm *coefficients, const struct fx_tile_matrices *to)
{
    size_t row = (size_t)t->w * BLOCK;

    for (int i = 0; i < n_tiles; i++) {
        struct place at = place_of(t, tile + i);
        struct span rows = span_of(at.y - 1, IN, t->h), columns = span_of(at.x - 1, IN, t->w);
        const value *from = (const value *)x + (size_t)at.image * t->image_values +
                            (ptrdiff_t)((at.y - 1) * t->w + at.x - 1) * BLOCK;
        float *v = to->data + (size_t)i * to->row;

        for (int b = 0; b < n_blocks; b++, from += t->block_values, v += BLOCK) {
            struct norm norm = { 0 };

            if (coefficients->scale) {
                norm = (struct norm){ true, load_channels(coefficients->scale + b * BLOCK),
                                      load_channels(coefficients->shift + b * BLOCK) };
                input_at(from, row, rows, columns, &norm, v, to->point);
            } else {
                input_at(from, row, rows, columns, &norm, v, to->point);
            }
        }
    }
}

LOOP void gradient_tile(const value *from, size_t row, int height, int width, float *to,
                        size_t point)
{
    vf half[OUT][IN], y[OUT], m[IN];

    for (int r = 0; r < OUT; r++) {
        for (int c = 0; c < OUT; c++)
            y[c] = r < height && c < width ? load(from + (size_t)r * row + (size_t)(c * BLOCK))
                                           : (vf){ 0 };
        gradient_to_points(y, half[r]);
    }
    for (int c = 0; c < IN; c++) {
        for (int r = 0; r < OUT; r++)
            y[r] = half[r][c];
        gradient_to_points(y, m);
        for (int r = 0; r < IN; r++)
            store_channels(to + (size_t)(r * IN + c) * point, m[r]);
    }
}

ENTRY void gradient(const struct fx_tiling *t, const void *dy, int tile, int n_tiles, int n_blocks,
                    const struct fx_tile_matrices *to)
{
    size_t row = (size_t)t->w * BLOCK;

    for (int i = 0; i < n_tiles; i++) {
        struct place at = place_of(t, tile + i);
        int height = t->h - at.y, width = t->w - at.x;
        const value *from = (const value *)dy + (size_t)at.image * t->image_values +
                            (size_t)(at.y * t->w + at.x) * BLOCK;
        float *m = to->data + (size_t)i * to->row;

        for (int b = 0; b < n_blocks; b++, from += t->block_values, m += BLOCK) {
            if (height >= OUT && width >= OUT)
                gradient_tile(from, row, OUT, OUT, m, to->point);
            else
                gradient_tile(from, row, height, width, m, to->point);
        }
    }
}

/* height, width: of the part that lies in the map. */
LOOP void output_tile(const float *from, size_t point, value *to, size_t row, int height, int width)
{
    vf half[OUT][IN], m[IN], y[OUT];

    for (int c = 0; c < IN; c++) {
        for (int r = 0; r < IN; r++)
            m[r] = load_channels(from + (size_t)(r * IN + c) * point);
        from_points(m, y);
        for (int r = 0; r < OUT; r++)
            half[r][c] = y[r];
    }
    for (int r = 0; r < height; r++) {
        from_points(half[r], y);
        for (int c = 0; c < width; c++)
            store(to + (size_t)r * row + (size_t)c * BLOCK, y[c]);
    }
}

ENTRY void output(const struct fx_tiling *t, const struct fx_tile_matrices *from, int tile,
                  int n_tiles, int n_blocks, void *y)
{
    size_t row = (size_t)t->w * BLOCK;

    for (int i = 0; i < n_tiles; i++) {
        struct place at = place_of(t, tile + i);
        int height = t->h - at.y, width = t->w - at.x;
        value *to =
            (value *)y + (size_t)at.image * t->image_values + (size_t)(at.y * t->w + at.x) * BLOCK;

        for (int b = 0; b < n_blocks; b++) {
            const float *m = from->data + (size_t)i * from->row + (size_t)b * BLOCK;

            if (height >= OUT && width >= OUT)
                output_tile(m, from->point, to + (size_t)b * t->block_values, row, OUT, OUT);
            else
                output_tile(m, from->point, to + (size_t)b * t->block_values, row,
                            height < OUT ? height : OUT, width < OUT ? width : OUT);
        }
    }
}

/* ---- weights ---- */

enum { BLOCK_FLOATS = TAPS * TAPS * BLOCK * BLOCK }; /* of an input and an output block */

/* w[tap * step] -> to[point]; step may be negative. */
LOOP void weights_of(const float *w, ptrdiff_t step, float *to, size_t point)
{
    vf half[TAPS][IN], g[TAPS], u[IN];

    for (int r = 0; r < TAPS; r++) {
        for (int c = 0; c < TAPS; c++)
            g[c] = load_channels(w + (r * TAPS + c) * step);
        weights_to_points(g, half[r]);
    }
    for (int c = 0; c < IN; c++) {
        for (int r = 0; r < TAPS; r++)
            g[r] = half[r][c];
        weights_to_points(g, u);
        for (int r = 0; r < IN; r++)
            store_channels(to + (size_t)(r * IN + c) * point, u[r]);
    }
}

ENTRY void weights(const float *w, size_t out_floats, int n_in, int n_out,
                   const struct fx_tile_matrices *to)
{
    for (int i = 0; i < n_in * BLOCK; i++)
        for (int o = 0; o < n_out; o++)
            weights_of(w + (size_t)o * out_floats + (size_t)(i / BLOCK) * BLOCK_FLOATS +
                           (size_t)(i % BLOCK) * BLOCK,
                       BLOCK * BLOCK, to->data + (size_t)i * to->row + (size_t)o * BLOCK,
                       to->point);
}

/* BLOCK x BLOCK floats: rows and columns change places. */
ENTRY void transpose(const float *from, float *to)
{
    vf v[BLOCK];

    for (int i = 0; i < BLOCK; i++)
        v[i] = load_channels(from + (size_t)i * BLOCK);
    turn(v);
    for (int i = 0; i < BLOCK; i++)
        store_channels(to + (size_t)i * BLOCK, v[i]);
}

ENTRY void turned(const float *w, size_t out_floats, int n_in, int n_out,
                  const struct fx_tile_matrices *to)
{
    _Alignas(64) float block[BLOCK_FLOATS];
    const int last = TAPS * TAPS - 1;

    for (int o = 0; o < n_out; o++)
        for (int i = 0; i < n_in; i++) {
            const float *from = w + (size_t)o * out_floats + (size_t)i * BLOCK_FLOATS;

            for (int tap = 0; tap <= last; tap++)
                transpose(from + (size_t)tap * BLOCK * BLOCK, block + (size_t)tap * BLOCK * BLOCK);
            for (int c = 0; c < BLOCK; c++)
                weights_of(block + (size_t)last * BLOCK * BLOCK + (size_t)c * BLOCK,
                           -(ptrdiff_t)(BLOCK * BLOCK),
                           to->data + (size_t)(o * BLOCK + c) * to->row + (size_t)i * BLOCK,
                           to->point);
        }
}

ENTRY void weight_gradient(const struct fx_tile_matrices *from, size_t out_floats, int n_in,
                           int n_out, float *w)
{
    vf half[TAPS][IN], u[IN], g[TAPS];

    for (int i = 0; i < n_in * BLOCK; i++)
        for (int o = 0; o < n_out; o++) {
            const float *m = from->data + (size_t)i * from->row + (size_t)o * BLOCK;
            float *to = w + (size_t)o * out_floats + (size_t)(i / BLOCK) * BLOCK_FLOATS +
                        (size_t)(i % BLOCK) * BLOCK;

            for (int c = 0; c < IN; c++) {
                for (int r = 0; r < IN; r++)
                    u[r] = load_channels(m + (size_t)(r * IN + c) * from->point);
                weights_from_points(u, g);
                for (int r = 0; r < TAPS; r++)
                    half[r][c] = g[r];
            }
            for (int r = 0; r < TAPS; r++) {
                weights_from_points(half[r], g);
                for (int c = 0; c < TAPS; c++)
                    store_channels(to + (size_t)(r * TAPS + c) * BLOCK * BLOCK, g[c]);
            }
        }
}

const struct fx_winograd_loops LOOPS = {
    .block = BLOCK,
    .columns = COLUMNS,
    .value_bytes = sizeof(value),
    .input = input,
    .gradient = gradient,
    .output = output,
    .weights = weights,
    .turned = turned,
    .weight_gradient = weight_gradient,
    .product = product,
};
