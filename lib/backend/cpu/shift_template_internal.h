/* The body of shift_*.c, which define what vector_internal.h wants, and
 *   TILES  a declaration of eight tiles, of 16 rows of 64 bytes each, and
 *   ZERO(t)  LOAD(t, from, row_bytes)  STORE(t, to, row_bytes)  DOT(c, a, b)  on them, t a literal
 *   TABLE  name of the struct fx_shift_loops to define, with `begin` and `end` before */
#include "backend/cpu/shift_internal.h"
#include "backend/cpu/vector_internal.h"

#include <string.h>

enum { PAIR = 2 * BLOCK, PIXELS = FX_SHIFT_PIXELS, TILE = FX_SHIFT_TILE };

typedef uint16_t v16 __attribute__((vector_size(2 * BLOCK)));
typedef uint16_t v16_memory __attribute__((vector_size(2 * BLOCK), aligned(2), may_alias));
typedef uint32_t vu __attribute__((vector_size(4 * BLOCK)));
typedef uint32_t vu_memory __attribute__((vector_size(4 * BLOCK), aligned(2), may_alias));

LOOP vu widen(const uint16_t *p)
{
    return __builtin_convertvector(*(const v16_memory *)p, vu);
}

LOOP void store_words(uint16_t *p, vu x)
{
    *(vu_memory *)p = x;
}

/* To the nearest bf16, ties to even, in the upper half; the lower one is garbage. */
LOOP vu rounded(vf x)
{
    vu bits = (vu)x, up = bits + (0x7fffu + (bits >> 16 & 1));
    vu is_nan = (vu)(x != x);

    return (is_nan & (bits | 0x400000u)) | (~is_nan & up);
}

LOOP void store_bf16(uint16_t *p, vf x)
{
    *(v16_memory *)p = __builtin_convertvector(rounded(x) >> 16, v16);
}

/* Words of a lower and an upper bf16. */
LOOP vu join(vu low, vu high)
{
    return low >> 16 | (high & 0xffff0000u);
}

/* ---- the row of pixels ---- */

/* Some pixels from `at` of the row on, at most n: those of one line of an image, or zeros. */
struct stretch {
    int n;
    bool is_inside;
    size_t value; /* of the map, of the first of them */
};

LOOP struct stretch stretch_at(const struct fx_shift_row *r, const struct fx_shift_map *m,
                               int plane, int at, int n)
{
    const struct fx_shift_plane *l = &m->planes[plane];
    struct stretch s = { .n = n };
    int image, y, x;

    if (at < 0) {
        s.n = n < -at ? n : -at;
        return s;
    }
    image = at / r->image;
    at -= image * r->image;
    y = at / r->pitch;
    x = at - y * r->pitch;
    if (image >= r->n)
        return s;
    if (y >= l->h) {
        s.n = r->image - at;
    } else if (x >= l->w) {
        s.n = r->pitch - x;
    } else {
        s.n = l->w - x;
        s.is_inside = true;
        s.value = (size_t)image * m->image_values +
                  (size_t)((y * m->step + l->row) * m->w + x * m->step + l->column) * BLOCK;
    }
    s.n = s.n < n ? s.n : n;
    return s;
}

LOOP void rows_pair(const uint16_t *a, const uint16_t *b, int step, int n, uint16_t *to)
{
    for (int i = 0; i < n; i++, to += PAIR) {
        *(v16_memory *)to = *(const v16_memory *)(a + i * step);
        if (b)
            *(v16_memory *)(to + BLOCK) = *(const v16_memory *)(b + i * step);
        else
            *(v16_memory *)(to + BLOCK) = (v16){ 0 };
    }
}

ENTRY void rows(const struct fx_shift_row *r, const struct fx_shift_map *m, int plane,
                const uint16_t *map, int n_blocks, int first, int n, const struct fx_shift_rows *to)
{
    int step = m->step * BLOCK;

    for (int done = 0; done < n;) {
        struct stretch s = stretch_at(r, m, plane, first + done, n - done);

        for (int b = 0; b < n_blocks; b += 2) {
            uint16_t *at = to->data + (size_t)(b / 2) * to->pair + (size_t)(done * PAIR);
            const uint16_t *from = map + s.value + (size_t)b * m->block_values;

            if (!s.is_inside)
                memset(at, 0, (size_t)s.n * PAIR * sizeof *at);
            else if (b + 1 < n_blocks)
                rows_pair(from, from + m->block_values, step, s.n, at);
            else
                rows_pair(from, NULL, step, s.n, at);
        }
        done += s.n;
    }
}

/* Words of neighbouring pixels: the bits of x[i] are pixels 2 i and 2 i + 1 of a block. */
LOOP void pixel_pairs(const uint16_t *rows, vf x[16])
{
    for (int i = 0; i < 16; i++)
        x[i] = (vf)(widen(rows + 2 * i * PAIR) | widen(rows + (2 * i + 1) * PAIR) << 16);
}

ENTRY void pairs(const uint16_t *from, uint16_t *to[2])
{
    for (int block = 0; block < 2; block++) {
        vf x[16];

        pixel_pairs(from + block * BLOCK, x);
        for (int i = 0; i < 16; i++)
            store_words(to[block] + i * 2 * BLOCK, (vu)x[i]);
    }
}

ENTRY void channels(const uint16_t *from, uint16_t *to[2], size_t to_row)
{
    for (int block = 0; block < 2; block++) {
        vf x[16];

        pixel_pairs(from + block * BLOCK, x);
        turn(x);
        for (int i = 0; i < 16; i++)
            store_words(to[block] + (size_t)i * to_row, (vu)x[i]);
    }
}

/* ---- weights ---- */

/* 16 rows of f32: half a tile, rows in pairs. */
LOOP void half_tile(const vf w[16], uint16_t *to)
{
    for (int i = 0; i < 8; i++)
        store_words(to + i * 2 * BLOCK, join(rounded(w[2 * i]), rounded(w[2 * i + 1])));
}

LOOP void pack_tiles(const float *w, size_t in_floats, int n_in, int n_taps, bool turned,
                     uint16_t *to)
{
    for (int tap = 0; tap < n_taps; tap++)
        for (int in = 0; in < (n_in + 1) / 2 * 2; in++, to += TILE / 2) {
            const float *from = w + (size_t)in * in_floats + (size_t)(tap * BLOCK * BLOCK);
            vf x[16];

            if (in == n_in) {
                memset(to, 0, TILE / 2 * sizeof *to);
                continue;
            }
            for (int i = 0; i < 16; i++)
                x[i] = load_channels(from + i * BLOCK);
            if (turned)
                turn(x);
            half_tile(x, to);
        }
}

ENTRY void weights(const float *w, size_t in_floats, int n_in, int n_taps, uint16_t *to)
{
    pack_tiles(w, in_floats, n_in, n_taps, false, to);
}

ENTRY void turned(const float *w, size_t out_floats, int n_out, int n_taps, uint16_t *to)
{
    pack_tiles(w, out_floats, n_out, n_taps, true, to);
}

/* ---- products ---- */

enum { ROW_BYTES = 64, ACCUMULATED = 16 * BLOCK };

/* c: for each output block two tiles, 32 pixels of 16 floats. */
LOOP void sum_taps(const struct fx_shift_values *v, bool two, float *c)
{
    TILES;

    ZERO(0);
    ZERO(1);
    ZERO(2);
    ZERO(3);
    for (int t = 0; t < v->n_taps; t++) {
        const uint16_t *a = v->a + v->taps[t];
        const uint16_t *b = v->b + (size_t)(v->b_taps[t] * v->depth) * TILE;

        for (int k = 0; k < v->depth; k++, a += v->a_pair, b += TILE) {
            LOAD(4, a, ROW_BYTES);
            LOAD(5, a + 16 * PAIR, ROW_BYTES);
            LOAD(6, b, ROW_BYTES);
            DOT(0, 4, 6);
            DOT(1, 5, 6);
            if (two) {
                LOAD(7, b + v->b_block, ROW_BYTES);
                DOT(2, 4, 7);
                DOT(3, 5, 7);
            }
        }
    }
    STORE(0, c, ROW_BYTES);
    STORE(1, c + ACCUMULATED, ROW_BYTES);
    if (two) {
        STORE(2, c + 2 * ACCUMULATED, ROW_BYTES);
        STORE(3, c + 3 * ACCUMULATED, ROW_BYTES);
    }
}

ENTRY void values(const struct fx_shift_values *v, const struct fx_shift_row *r,
                  const struct fx_shift_map *m, int plane, int first, uint16_t *y)
{
    _Alignas(64) float c[4 * ACCUMULATED];

    if (v->columns == 2)
        sum_taps(v, true, c);
    else
        sum_taps(v, false, c);
    for (int done = 0; done < PIXELS;) {
        struct stretch s = stretch_at(r, m, plane, first + done, PIXELS - done);

        for (int block = 0; s.is_inside && block < v->columns; block++) {
            const float *from = c + block * 2 * ACCUMULATED + done * BLOCK;
            uint16_t *to = y + (size_t)block * m->block_values + s.value;

            for (int i = 0; i < s.n; i++)
                store_bf16(to + i * m->step * BLOCK, load_channels(from + i * BLOCK));
        }
        done += s.n;
    }
}

LOOP void sum_pixels(const struct fx_shift_gradient *g, bool two_rows, bool two_columns)
{
    const uint16_t *a = g->a, *b = g->b;
    TILES;

    if (g->add) {
        LOAD(0, g->c[0][0], ROW_BYTES);
        if (two_columns)
            LOAD(1, g->c[0][1], ROW_BYTES);
        if (two_rows)
            LOAD(2, g->c[1][0], ROW_BYTES);
        if (two_rows && two_columns)
            LOAD(3, g->c[1][1], ROW_BYTES);
    } else {
        ZERO(0);
        ZERO(1);
        ZERO(2);
        ZERO(3);
    }
    for (int k = 0; k < g->depth; k++, a += PIXELS, b += TILE) {
        LOAD(4, a, g->a_row * sizeof *a);
        LOAD(6, b, ROW_BYTES);
        DOT(0, 4, 6);
        if (two_columns) {
            LOAD(7, b + g->b_block, ROW_BYTES);
            DOT(1, 4, 7);
        }
        if (two_rows) {
            LOAD(5, a + 16 * g->a_row, g->a_row * sizeof *a);
            DOT(2, 5, 6);
        }
        if (two_rows && two_columns)
            DOT(3, 5, 7);
    }
    STORE(0, g->c[0][0], ROW_BYTES);
    if (two_columns)
        STORE(1, g->c[0][1], ROW_BYTES);
    if (two_rows)
        STORE(2, g->c[1][0], ROW_BYTES);
    if (two_rows && two_columns)
        STORE(3, g->c[1][1], ROW_BYTES);
}

ENTRY void gradient(const struct fx_shift_gradient *g)
{
    if (g->rows == 2 && g->columns == 2)
        sum_pixels(g, true, true);
    else if (g->rows == 2)
        sum_pixels(g, true, false);
    else if (g->columns == 2)
        sum_pixels(g, false, true);
    else
        sum_pixels(g, false, false);
}

const struct fx_shift_loops TABLE = {
    .begin = begin,
    .end = end,
    .rows = rows,
    .pairs = pairs,
    .channels = channels,
    .weights = weights,
    .turned = turned,
    .values = values,
    .gradient = gradient,
};
