/* How a convolution by shifted products is cut into pieces, and the pieces' order.
 *
 * Values and their gradients: the weights are packed once, in bf16.  A chunk of the row of pixels
 * is packed for all input channels, then multiplied for a pair of output blocks at a time, whose
 * weights stay in the cache.
 *
 * Gradients of weights are sums over pixels: x and dy of a chunk are packed by all threads, then
 * the sums of each pair of input and output blocks grow by the chunk's part, in f32 where they will
 * stay.  The chunks' order is always the same. */
#include "backend/cpu/shift_internal.h"

#include <omp.h>

enum {
    BLOCK = FX_SHIFT_BLOCK,
    PIXELS = FX_SHIFT_PIXELS,
    TILE = FX_SHIFT_TILE,
    PAIR = 2 * BLOCK,
    LINE = 32,                 /* values in a line of the cache */
    CHUNK_VALUES = 384 * 1024, /* bf16 values of a chunk's packed pixels, for an L2 of 2 MB */
    MIN_CHUNK = 256,
    MAX_CHUNK = 2048
};

bool fx_shift_suits(const struct fx_conv_shape *s)
{
    bool is_known = (s->kernel == 1 && s->pad == 0) || (s->kernel == 3 && s->pad == 1);

    return is_known && (s->stride == 1 || s->stride == 2);
}

/* ---- geometry ---- */

static struct fx_shift_map map_of(int channels, int h, int w, int step)
{
    struct fx_shift_map m = { .w = w, .step = step, .n_planes = step * step };

    m.block_values = (size_t)(h * w * BLOCK);
    m.image_values = m.block_values * (size_t)(channels / BLOCK);
    for (int i = 0; i < m.n_planes; i++) {
        int row = i / step, column = i % step;

        m.planes[i] = (struct fx_shift_plane){ .h = fx_divide_up(h - row, step),
                                               .w = fx_divide_up(w - column, step),
                                               .row = row,
                                               .column = column };
    }
    return m;
}

/* The tap (row, column) of the kernel for the plane of x that it meets. */
static void add_tap(struct fx_shift *p, const struct fx_conv_shape *s, int plane, int tap)
{
    int step = s->stride, at[2] = { tap / s->kernel - s->pad, tap % s->kernel - s->pad };
    int remainder[2] = { (at[0] + step) % step, (at[1] + step) % step };
    int shift = (at[0] - remainder[0]) / step * p->row.pitch + (at[1] - remainder[1]) / step;
    bool turned = p->direction == FX_CONV_DATA;
    int meets = remainder[0] * step + remainder[1];

    if (turned && meets != plane)
        return;
    p->taps[p->first_tap[plane + 1]++] = (struct fx_shift_tap){ .tap = tap,
                                                                .plane = turned ? 0 : meets,
                                                                .shift = turned ? -shift : shift };
}

static void find_taps(struct fx_shift *p, const struct fx_conv_shape *s)
{
    int n_planes = p->direction == FX_CONV_DATA ? p->to.n_planes : 1;

    for (int plane = 0; plane < n_planes; plane++) {
        p->first_tap[plane + 1] = p->first_tap[plane];
        for (int tap = 0; tap < p->n_taps; tap++)
            add_tap(p, s, plane, tap);
    }
}

/* A map that is not shifted is one line: its pixels need nothing between them. */
static void set_row(struct fx_shift *p, const struct fx_conv_shape *s)
{
    int space = s->kernel > 1;
    int h = fx_larger(s->h_out, fx_divide_up(s->h_in, s->stride));
    int w = fx_larger(s->w_out, fx_divide_up(s->w_in, s->stride));

    p->row =
        (struct fx_shift_row){ .n = s->n, .pitch = w + space, .image = (w + space) * (h + space) };
    p->n_pixels = p->row.image * s->n;
    p->margin = space * (p->row.pitch + 1);
}

/* ---- plans ---- */

static int pairs_of(int blocks)
{
    return fx_divide_up(blocks, 2);
}

/* Pixels of a packed chunk with its margins. */
static size_t chunk_rows(const struct fx_shift *p)
{
    return (size_t)(p->chunk + 2 * p->margin);
}

static void set_chunk(struct fx_shift *p, int values)
{
    int chunk = CHUNK_VALUES / values;

    chunk = fx_larger(MIN_CHUNK, fx_smaller(chunk, MAX_CHUNK));
    p->n_chunks = fx_divide_up(p->n_pixels, chunk);
    p->chunk = fx_divide_up(fx_divide_up(p->n_pixels, p->n_chunks), PIXELS) * PIXELS;
}

static size_t packed_weights(const struct fx_shift *p)
{
    return (size_t)(p->groups * p->out * p->n_taps * pairs_of(p->in)) * TILE;
}

static void plan_values(struct fx_shift *p)
{
    int tasks;

    set_chunk(p, p->from.n_planes * pairs_of(p->in) * PAIR);
    tasks = p->groups * p->n_chunks;
    p->n_slices =
        tasks >= p->threads ? 1 : fx_smaller(fx_divide_up(p->threads, tasks), pairs_of(p->out));
    p->shared_values = packed_weights(p);
    p->thread_values = (size_t)(p->from.n_planes * pairs_of(p->in)) * chunk_rows(p) * PAIR;
}

/* Rows of a channel an odd number of lines apart do not fall on the same lines of the cache. */
static size_t channel_row(const struct fx_shift *p)
{
    size_t lines = (chunk_rows(p) + LINE - 1) / LINE;

    return (lines | 1) * LINE;
}

static size_t packed_x(const struct fx_shift *p)
{
    return (size_t)(p->from.n_planes * pairs_of(p->in)) * PAIR * channel_row(p);
}

static void plan_weights(struct fx_shift *p)
{
    set_chunk(p, (p->from.n_planes * pairs_of(p->in) + pairs_of(p->out)) * PAIR);
    p->shared_values = packed_x(p) + (size_t)(pairs_of(p->out) * PAIR * p->chunk);
}

void fx_shift_plan(struct fx_shift *p, const struct fx_shift_loops *loops,
                   const struct fx_conv_shape *s, enum fx_conv_direction direction, int threads)
{
    struct fx_shift_map x = map_of(s->c_in, s->h_in, s->w_in, s->stride);
    struct fx_shift_map y = map_of(s->c_out, s->h_out, s->w_out, 1);
    bool turned = direction == FX_CONV_DATA;
    int in = s->c_in / s->groups / BLOCK, out = s->c_out / s->groups / BLOCK;

    *p = (struct fx_shift){ .loops = loops,
                            .direction = direction,
                            .from = turned ? y : x,
                            .to = turned ? x : y,
                            .groups = s->groups,
                            .threads = threads,
                            .in = turned ? out : in,
                            .out = turned ? in : out,
                            .n_taps = s->kernel * s->kernel };
    set_row(p, s);
    find_taps(p, s);
    if (direction == FX_CONV_WEIGHTS)
        plan_weights(p);
    else
        plan_values(p);
}

size_t fx_shift_workspace(const struct fx_shift *p)
{
    return (p->shared_values + (size_t)p->threads * p->thread_values) * sizeof(uint16_t);
}

/* ---- values and their gradients ---- */

enum { BLOCK_FLOATS = BLOCK * BLOCK };

/* Floats of the masters between an input and an output block. */
static size_t block_pair(const struct fx_shift *p)
{
    return (size_t)(p->n_taps * BLOCK_FLOATS);
}

static size_t block_tiles(const struct fx_shift *p)
{
    return (size_t)(p->n_taps * pairs_of(p->in)) * TILE;
}

/* All blocks that are written, shared out. */
static void pack_weights(const struct fx_shift *p, const float *weights, uint16_t *to)
{
    size_t pair = block_pair(p), tiles = block_tiles(p);

#pragma omp for
    for (int i = 0; i < p->groups * p->out; i++) {
        const float *group = weights + (size_t)(i / p->out * p->in * p->out) * pair;
        size_t out = (size_t)(i % p->out);

        if (p->direction == FX_CONV_FORWARD)
            p->loops->weights(group + out * (size_t)p->in * pair, pair, p->in, p->n_taps,
                              to + (size_t)i * tiles);
        else
            p->loops->turned(group + out * pair, (size_t)p->out * pair, p->in, p->n_taps,
                             to + (size_t)i * tiles);
    }
}

/* What a thread works with, and what it has packed last. */
struct piece {
    const struct fx_shift *p;
    const uint16_t *from, *weights;
    uint16_t *to, *rows;
    size_t pair, plane; /* values of `rows` from one to the next */
    int group, chunk;
};

static void pack_chunk(struct piece *w, int group, int chunk)
{
    const struct fx_shift *p = w->p;

    if (group == w->group && chunk == w->chunk)
        return;
    for (int plane = 0; plane < p->from.n_planes; plane++) {
        struct fx_shift_rows to = { w->rows + (size_t)plane * w->plane, w->pair };

        p->loops->rows(&p->row, &p->from, plane,
                       w->from + (size_t)(group * p->in) * p->from.block_values, p->in,
                       chunk * p->chunk - p->margin, p->chunk + 2 * p->margin, &to);
    }
    w->group = group;
    w->chunk = chunk;
}

/* A plane of the result, for two output blocks. */
static void run_plane(const struct piece *w, int plane, int out, int n_out)
{
    const struct fx_shift *p = w->p;
    int first = w->chunk * p->chunk, end = fx_smaller(first + p->chunk, p->n_pixels);
    int n_taps = p->first_tap[plane + 1] - p->first_tap[plane];
    const struct fx_shift_tap *taps = p->taps + p->first_tap[plane];
    ptrdiff_t shifts[FX_SHIFT_TAPS];
    int b_taps[FX_SHIFT_TAPS];
    struct fx_shift_values v = { .taps = shifts,
                                 .b_taps = b_taps,
                                 .a_pair = w->pair,
                                 .b = w->weights +
                                      (size_t)(w->group * p->out + out) * block_tiles(p),
                                 .b_block = block_tiles(p),
                                 .n_taps = n_taps,
                                 .depth = pairs_of(p->in),
                                 .columns = n_out };

    for (int t = 0; t < n_taps; t++) {
        shifts[t] =
            (ptrdiff_t)taps[t].plane * (ptrdiff_t)w->plane + (ptrdiff_t)taps[t].shift * PAIR;
        b_taps[t] = taps[t].tap;
    }
    for (int at = first; at < end; at += PIXELS) {
        v.a = w->rows + (size_t)(at - first + p->margin) * PAIR;
        p->loops->values(&v, &p->row, &p->to, plane, at,
                         w->to + (size_t)(w->group * p->out + out) * p->to.block_values);
    }
}

static void run_slice(struct piece *w, int slice)
{
    const struct fx_shift *p = w->p;
    int pairs = pairs_of(p->out), end = fx_part_at(pairs, p->n_slices, slice + 1);

    for (int pair = fx_part_at(pairs, p->n_slices, slice); pair < end; pair++)
        for (int plane = 0; plane < p->to.n_planes; plane++)
            run_plane(w, plane, 2 * pair, fx_smaller(2, p->out - 2 * pair));
}

/* The part of one thread of the team. */
static void run_values(const struct fx_shift *p, const uint16_t *from, const float *weights,
                       uint16_t *to, uint16_t *workspace, int thread, int n_threads)
{
    int n = p->groups * p->n_chunks * p->n_slices;
    struct piece w = { .p = p,
                       .from = from,
                       .weights = workspace,
                       .to = to,
                       .rows = workspace + p->shared_values + (size_t)thread * p->thread_values,
                       .pair = chunk_rows(p) * PAIR,
                       .group = -1 };

    w.plane = (size_t)pairs_of(p->in) * w.pair;
    pack_weights(p, weights, workspace);
    for (int i = fx_part_at(n, n_threads, thread); i < fx_part_at(n, n_threads, thread + 1); i++) {
        pack_chunk(&w, i / p->n_slices / p->n_chunks, i / p->n_slices % p->n_chunks);
        run_slice(&w, i % p->n_slices);
    }
}

/* ---- gradients of weights ---- */

/* A chunk of x, a row for each channel, and of dy, in tiles; the weights of the group. */
struct sums {
    const struct fx_shift *p;
    const uint16_t *x, *dy;
    float *weights;
    uint16_t *packed_x, *packed_dy;
    int chunk;
};

static int chunk_end(const struct sums *s)
{
    return fx_smaller((s->chunk + 1) * s->p->chunk, s->p->n_pixels);
}

/* A pair of blocks of a plane of x. */
static void pack_x(const struct sums *s, int plane, int pair)
{
    const struct fx_shift *p = s->p;
    int first = s->chunk * p->chunk - p->margin;
    size_t row = channel_row(p), at = (size_t)(plane * pairs_of(p->in) + pair) * PAIR * row;
    _Alignas(64) uint16_t pixels[PIXELS * PAIR];
    struct fx_shift_rows rows = { pixels, 0 };

    for (int i = 0; i < p->chunk + 2 * p->margin; i += PIXELS) {
        uint16_t *to[2] = { s->packed_x + at + i, s->packed_x + at + BLOCK * row + i };

        p->loops->rows(&p->row, &p->from, plane, s->x + (size_t)(2 * pair) * p->from.block_values,
                       fx_smaller(2, p->in - 2 * pair), first + i, PIXELS, &rows);
        p->loops->channels(pixels, to, row);
    }
}

static void pack_dy(const struct sums *s, int pair)
{
    const struct fx_shift *p = s->p;
    int first = s->chunk * p->chunk;
    size_t block = (size_t)(p->chunk * BLOCK), at = 2 * (size_t)pair * block;
    _Alignas(64) uint16_t pixels[PIXELS * PAIR];
    struct fx_shift_rows rows = { pixels, 0 };

    for (int i = 0; i < p->chunk; i += PIXELS) {
        uint16_t *to[2] = { s->packed_dy + at + (size_t)(i * BLOCK),
                            s->packed_dy + at + block + (size_t)(i * BLOCK) };

        p->loops->rows(&p->row, &p->to, 0, s->dy + (size_t)(2 * pair) * p->to.block_values,
                       fx_smaller(2, p->out - 2 * pair), first + i, PIXELS, &rows);
        p->loops->pairs(pixels, to);
    }
}

static void pack_both(const struct sums *s)
{
    const struct fx_shift *p = s->p;
    int n_x = p->from.n_planes * pairs_of(p->in);

#pragma omp for
    for (int i = 0; i < n_x + pairs_of(p->out); i++) {
        if (i < n_x)
            pack_x(s, i / pairs_of(p->in), i % pairs_of(p->in));
        else
            pack_dy(s, i - n_x);
    }
}

/* All taps between two pairs of blocks. */
static void add_pair(const struct sums *s, int in, int out)
{
    const struct fx_shift *p = s->p;
    size_t row = channel_row(p), block = (size_t)(p->chunk * BLOCK);
    int pixels = chunk_end(s) - s->chunk * p->chunk;
    struct fx_shift_gradient g = { .a_row = row,
                                   .b = s->packed_dy + 2 * (size_t)out * block,
                                   .b_block = block,
                                   .depth = fx_divide_up(pixels, PIXELS),
                                   .rows = fx_smaller(2, p->in - 2 * in),
                                   .columns = fx_smaller(2, p->out - 2 * out),
                                   .add = s->chunk > 0 };

    for (int t = 0; t < p->n_taps; t++) {
        const struct fx_shift_tap *tap = &p->taps[t];
        size_t pair = (size_t)(tap->plane * pairs_of(p->in) + in) * PAIR * row;

        g.a = s->packed_x + pair + p->margin + tap->shift;
        for (int i = 0; i < g.rows; i++)
            for (int j = 0; j < g.columns; j++)
                g.c[i][j] = s->weights +
                            (size_t)((2 * out + j) * p->in + 2 * in + i) * block_pair(p) +
                            (size_t)(tap->tap * BLOCK_FLOATS);
        p->loops->gradient(&g);
    }
}

static void add_chunk(const struct sums *s)
{
    int in = pairs_of(s->p->in), out = pairs_of(s->p->out);

#pragma omp for
    for (int i = 0; i < in * out; i++)
        add_pair(s, i % in, i / in);
}

/* The part of one thread of the team; the loops above are shared out and wait for each other. */
static void run_weights(const struct fx_shift *p, const uint16_t *x, const uint16_t *dy,
                        float *weights, uint16_t *workspace)
{
    struct sums s = { .p = p, .packed_x = workspace, .packed_dy = workspace + packed_x(p) };

    for (int g = 0; g < p->groups; g++) {
        s.x = x + (size_t)(g * p->in) * p->from.block_values;
        s.dy = dy + (size_t)(g * p->out) * p->to.block_values;
        s.weights = weights + (size_t)(g * p->in * p->out) * block_pair(p);
        for (s.chunk = 0; s.chunk < p->n_chunks; s.chunk++) {
            pack_both(&s);
            add_chunk(&s);
        }
    }
}

void fx_shift_run(const struct fx_shift *p, void *x, float *weights, void *y, void *workspace)
{
    bool turned = p->direction == FX_CONV_DATA;

#pragma omp parallel num_threads(p->threads)
    {
        p->loops->begin();
        if (p->direction == FX_CONV_WEIGHTS)
            run_weights(p, x, y, weights, workspace);
        else
            run_values(p, turned ? y : x, weights, turned ? x : y, workspace, omp_get_thread_num(),
                       omp_get_num_threads());
        p->loops->end();
    }
}
