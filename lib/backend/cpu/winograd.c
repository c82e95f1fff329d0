/* How a Winograd convolution is cut into pieces, and the pieces' order.
 *
 * Values and their gradients: for a chunk of tiles, the input in the domain of the transforms is
 * kept for all channels (V), and a slice of the output's channels is made at a time: the weights of
 * the slice are transformed (U), some input channels at a time, multiplied (M), and M transformed
 * back.  V, U and M lie in the cache, and the whole of the transformed weights, four times as large
 * as the weights themselves, never exists.
 *
 * Gradients of weights are sums over tiles.  If all tiles make one chunk, a block of the weights is
 * finished at a time; else the sums of all weights are kept, and a chunk adds to them. */
#include "backend/cpu/winograd_internal.h"

#include <omp.h>

/* Sizes for an L2 of 1 to 2 MB, tried on one of 2 MB (bench/layers). */
enum {
    KILO_FLOATS = 1024 / sizeof(float),
    POINTS = FX_WINOGRAD_POINTS,
    TAPS = 9,
    MIN_TILES = 4,
    TILES_FLOATS = 800 * KILO_FLOATS, /* of V and M together, if the chunk is not below: */
    MIN_CHUNK = 43,                   /* for fewer tiles U costs more than a tenth */
    MAX_CHUNK = 128,
    WEIGHTS_FLOATS = 600 * KILO_FLOATS, /* of U */
    SUM_TILES = 64,  /* of a product: what is read again and again then stays in the L1 */
    ONE_CHUNK = 128, /* tiles; gradients of weights of fewer need no sums that are kept */
    PART = 80,       /* channels of x and dy that make a block of the weights ... */
    LARGE_PART = 64, /* ... or this, of more than 160 */
    FEW_TILES = 32   /* a chunk where one block is all, so that x and dy stay in the L2 as well */
};

/* Below MIN_TILES the transform of the weights costs what the products save, and so do pixels
 * outside of the map where they are more than those inside. */
bool fx_winograd_suits(const struct fx_conv_shape *s)
{
    int tiles = fx_divide_up(s->h_out, FX_WINOGRAD_TILE) * fx_divide_up(s->w_out, FX_WINOGRAD_TILE);

    return s->kernel == 3 && s->stride == 1 && s->pad == 1 && s->n * tiles >= MIN_TILES &&
           2 * s->h_out * s->w_out >= FX_WINOGRAD_TILE * FX_WINOGRAD_TILE * tiles;
}

static struct fx_tiling tiling_of(const struct fx_conv_shape *s, size_t image_values, int block)
{
    return (struct fx_tiling){ .h = s->h_out,
                               .w = s->w_out,
                               .rows = fx_divide_up(s->h_out, FX_WINOGRAD_TILE),
                               .columns = fx_divide_up(s->w_out, FX_WINOGRAD_TILE),
                               .block_values = (size_t)(s->h_out * s->w_out * block),
                               .image_values = image_values };
}

/* Matrices an odd number of vectors apart do not fall on the same lines of the cache. */
static struct fx_tile_matrices matrices_of(float *data, int rows, int blocks, int block)
{
    size_t row = (size_t)(blocks * block), vectors = (size_t)(rows * blocks);

    return (struct fx_tile_matrices){ data, row, (vectors | 1) * (size_t)block };
}

static size_t matrices_floats(int rows, int blocks, int block)
{
    return POINTS * matrices_of(NULL, rows, blocks, block).point;
}

/* Matrices of many channels are cut into parts of `blocks` blocks, each by itself in memory. */
static struct fx_tile_matrices part_of(float *data, int part, int rows, int blocks, int block)
{
    size_t floats = matrices_floats(rows, blocks, block);

    return matrices_of(data + (size_t)part * floats, rows, blocks, block);
}

/* A map from a channel block on. */
static char *block_of(const struct fx_winograd *p, const struct fx_tiling *t, const char *map,
                      int block)
{
    return (char *)map + (size_t)block * t->block_values * p->loops->value_bytes;
}

static int slice_max(const struct fx_winograd *p)
{
    return fx_divide_up(p->out, p->n_slices);
}

static void plan_values(struct fx_winograd *p)
{
    int b = p->loops->block, slice = slice_max(p);
    int chunk = TILES_FLOATS / (POINTS * b * (p->in + slice));
    int depth = WEIGHTS_FLOATS / (POINTS * b * b * slice);

    chunk = chunk < MIN_CHUNK ? MIN_CHUNK : fx_smaller(chunk, MAX_CHUNK);
    p->n_chunks = fx_divide_up(p->n_tiles, chunk);
    p->chunk = fx_divide_up(p->n_tiles, p->n_chunks);
    p->n_in = fx_divide_up(p->in, depth);
    p->depth = fx_divide_up(p->in, p->n_in);
    p->thread_floats = (size_t)p->n_in * matrices_floats(p->chunk, p->depth, b) +
                       matrices_floats(p->depth * b, slice, b) +
                       matrices_floats(p->chunk, slice, b);
}

static int part_blocks(int blocks, int block)
{
    int part = (blocks * block <= 2 * PART ? PART : LARGE_PART) / block;

    return fx_divide_up(blocks, fx_divide_up(blocks, part));
}

/* Chunks are the same for any number of threads, and so is the order of what is added. */
static void plan_weights(struct fx_winograd *p)
{
    int b = p->loops->block;

    p->depth = part_blocks(p->in, b);
    p->width = part_blocks(p->out, b);
    if (p->depth == p->in && p->width == p->out)
        p->n_chunks = fx_divide_up(p->n_tiles, FEW_TILES);
    else
        p->n_chunks = p->n_tiles <= ONE_CHUNK ? 1 : fx_divide_up(p->n_tiles, SUM_TILES);
    p->chunk = fx_divide_up(p->n_tiles, p->n_chunks);
    while (p->width > 1 &&
           fx_divide_up(p->in, p->depth) * fx_divide_up(p->out, p->width) < p->threads)
        p->width = fx_divide_up(p->width, 2);
    p->n_in = fx_divide_up(p->in, p->depth);
    p->n_out = fx_divide_up(p->out, p->width);
    p->shared_floats = (size_t)p->n_in * matrices_floats(p->chunk, p->depth, b) +
                       (size_t)p->n_out * matrices_floats(p->chunk, p->width, b);
    if (p->n_chunks == 1)
        p->thread_floats = matrices_floats(p->depth * b, p->width, b);
    else
        p->shared_floats +=
            (size_t)(p->n_in * p->n_out) * matrices_floats(p->depth * b, p->width, b);
}

void fx_winograd_plan(struct fx_winograd *p, const struct fx_winograd_loops *loops,
                      const struct fx_conv_shape *s, enum fx_conv_direction direction, int threads)
{
    bool turned = direction == FX_CONV_DATA;
    int c_from = turned ? s->c_out : s->c_in, c_to = turned ? s->c_in : s->c_out;
    size_t y_image = (size_t)(s->c_out * s->h_out * s->w_out);

    *p = (struct fx_winograd){ .loops = loops,
                               .direction = direction,
                               .from = tiling_of(s, turned ? y_image : s->x_image, loops->block),
                               .to = tiling_of(s, turned ? s->x_image : y_image, loops->block),
                               .groups = s->groups,
                               .threads = threads,
                               .in = c_from / s->groups / loops->block,
                               .out = c_to / s->groups / loops->block };
    p->n_tiles = s->n * p->from.rows * p->from.columns;
    p->n_slices = fx_divide_up(p->out, loops->columns);
    if (direction == FX_CONV_WEIGHTS)
        plan_weights(p);
    else
        plan_values(p);
}

size_t fx_winograd_workspace(const struct fx_winograd *p)
{
    return (p->shared_floats + (size_t)p->threads * p->thread_floats) * sizeof(float);
}

/* ---- values and their gradients ---- */

/* What a thread works with, and what it has transformed last. */
struct piece {
    const struct fx_winograd *p;
    const char *from;
    const float *weights;
    const struct fx_conv_norm *norm;
    char *to;
    float *v; /* in parts of p->depth blocks */
    struct fx_tile_matrices u, m;
    int group, chunk;
    bool has_weights;
};

static int chunk_first(const struct fx_winograd *p, int chunk)
{
    return chunk * p->chunk;
}

static int chunk_tiles(const struct fx_winograd *p, int chunk)
{
    return fx_smaller(p->chunk, p->n_tiles - chunk_first(p, chunk));
}

/* The weights of a group between `in` input and `out` output blocks of the layer itself. */
static size_t block_pair(const struct fx_winograd *p)
{
    return (size_t)(TAPS * p->loops->block * p->loops->block);
}

static void transform_weights(const struct piece *w, int in, int n_in, int out, int n_out)
{
    const struct fx_winograd *p = w->p;
    size_t pair = block_pair(p);
    const float *group = w->weights + (size_t)w->group * (size_t)(p->in * p->out) * pair;

    if (p->direction == FX_CONV_FORWARD)
        p->loops->weights(group + (size_t)(out * p->in + in) * pair, (size_t)p->in * pair, n_in,
                          n_out, &w->u);
    else
        p->loops->turned(group + (size_t)(in * p->out + out) * pair, (size_t)p->out * pair, n_out,
                         n_in, &w->u);
}

static void multiply(const struct piece *w, int n_tiles, int in, int n_in, int n_out)
{
    const struct fx_winograd *p = w->p;
    int b = p->loops->block;
    struct fx_tile_matrices v = part_of(w->v, in / p->depth, p->chunk, p->depth, b);

    for (size_t f = 0; f < POINTS; f++) {
        struct fx_panel panel = { .a = v.data + f * v.point,
                                  .a_row = v.row,
                                  .a_depth = 1,
                                  .b = w->u.data + f * w->u.point,
                                  .b_depth = w->u.row,
                                  .b_column = (size_t)b,
                                  .c = w->m.data + f * w->m.point,
                                  .c_row = w->m.row,
                                  .c_column = (size_t)b,
                                  .rows = n_tiles,
                                  .columns = n_out,
                                  .depth = n_in * b,
                                  .parts = 1,
                                  .add = in > 0 };

        p->loops->product(&panel);
    }
}

/* A group of x, in parts. */
static void transform_input(const struct piece *w, int group, int first, int n_tiles)
{
    const struct fx_winograd *p = w->p;

    for (int in = 0; in < p->in; in += p->depth) {
        int b = p->loops->block, block = group * p->in + in;
        struct fx_tile_matrices v = part_of(w->v, in / p->depth, p->chunk, p->depth, b);
        struct fx_conv_norm norm = fx_conv_norm_from(w->norm, block * b);

        p->loops->input(&p->from, block_of(p, &p->from, w->from, block), first, n_tiles,
                        fx_smaller(p->depth, p->in - in), &norm, &v);
    }
}

/* One slice of the output's channels, for one chunk of tiles. */
static void run_slice(struct piece *w, int group, int chunk, int slice)
{
    const struct fx_winograd *p = w->p;
    int first = chunk_first(p, chunk), n_tiles = chunk_tiles(p, chunk);
    int out = fx_part_at(p->out, p->n_slices, slice);
    int n_out = fx_part_at(p->out, p->n_slices, slice + 1) - out;

    if (group != w->group)
        w->has_weights = false;
    if (group != w->group || chunk != w->chunk)
        transform_input(w, group, first, n_tiles);
    w->group = group;
    w->chunk = chunk;
    for (int in = 0; in < p->in; in += p->depth) {
        int n_in = fx_smaller(p->depth, p->in - in);

        if (!w->has_weights)
            transform_weights(w, in, n_in, out, n_out);
        multiply(w, n_tiles, in, n_in, n_out);
    }
    w->has_weights = p->n_slices == 1 && p->n_in == 1;
    p->loops->output(&p->to, &w->m, first, n_tiles, n_out,
                     block_of(p, &p->to, w->to, group * p->out + out));
}

/* The part of one thread. */
static void run_values(const struct fx_winograd *p, const struct fx_conv_norm *norm,
                       const char *from, const float *weights, char *to, float *workspace,
                       int thread, int n_threads)
{
    int b = p->loops->block, n = p->groups * p->n_chunks * p->n_slices;
    float *own = workspace + (size_t)thread * p->thread_floats;
    struct piece w = {
        .p = p, .from = from, .weights = weights, .norm = norm, .to = to, .group = -1
    };

    w.v = own;
    own += (size_t)p->n_in * matrices_floats(p->chunk, p->depth, b);
    w.u = matrices_of(own, p->depth * b, slice_max(p), b);
    own += matrices_floats(p->depth * b, slice_max(p), b);
    w.m = matrices_of(own, p->chunk, slice_max(p), b);
    for (int i = fx_part_at(n, n_threads, thread); i < fx_part_at(n, n_threads, thread + 1); i++)
        run_slice(&w, i / p->n_slices / p->n_chunks, i / p->n_slices % p->n_chunks,
                  i % p->n_slices);
}

/* ---- gradients of weights ---- */

/* What the threads share: a chunk of x and dy in parts, and the sums of all weights; or a thread's
 * own sums of the block that it works at. */
struct sums {
    const struct fx_winograd *p;
    const char *x, *dy;
    struct fx_conv_norm norm;
    float *weights; /* of the group, as x, dy and norm */
    float *v, *m, *u;
};

/* Both transforms, tiles shared out. */
static void transform_chunk(const struct sums *s, int chunk)
{
    const struct fx_winograd *p = s->p;
    int n = chunk_tiles(p, chunk), first = chunk_first(p, chunk), b = p->loops->block;

#pragma omp for
    for (int i = 0; i < p->n_in + p->n_out; i++) {
        bool is_x = i < p->n_in;
        int part = is_x ? i : i - p->n_in, blocks = is_x ? p->depth : p->width;
        struct fx_tile_matrices to = part_of(is_x ? s->v : s->m, part, p->chunk, blocks, b);
        int n_blocks = fx_smaller(blocks, (is_x ? p->in : p->out) - part * blocks);

        struct fx_conv_norm norm = fx_conv_norm_from(&s->norm, is_x ? part * blocks * b : 0);

        if (is_x)
            p->loops->input(&p->from, block_of(p, &p->from, s->x, part * blocks), first, n,
                            n_blocks, &norm, &to);
        else
            p->loops->gradient(&p->to, block_of(p, &p->to, s->dy, part * blocks), first, n,
                               n_blocks, &to);
    }
}

/* to (+)= V' M, of one part of each, some tiles at a time. */
static void add_products(const struct sums *s, int in, int out, int n_tiles, bool add,
                         const struct fx_tile_matrices *to)
{
    const struct fx_winograd *p = s->p;
    int b = p->loops->block, n_out = fx_smaller(p->width, p->out - out * p->width);
    int n_in = fx_smaller(p->depth, p->in - in * p->depth),
        n_slices = fx_divide_up(n_out, p->loops->columns);
    struct fx_tile_matrices v = part_of(s->v, in, p->chunk, p->depth, b);
    struct fx_tile_matrices m = part_of(s->m, out, p->chunk, p->width, b);

    for (size_t f = 0; f < POINTS; f++)
        for (int tile = 0; tile < n_tiles; tile += SUM_TILES)
            for (int i = 0; i < n_slices; i++) {
                int first = fx_part_at(n_out, n_slices, i);
                struct fx_panel panel = {
                    .a = v.data + f * v.point + (size_t)tile * v.row,
                    .a_row = 1,
                    .a_depth = v.row,
                    .b = m.data + f * m.point + (size_t)tile * m.row + (size_t)(first * b),
                    .b_depth = m.row,
                    .b_column = (size_t)b,
                    .c = to->data + f * to->point + (size_t)(first * b),
                    .c_row = to->row,
                    .c_column = (size_t)b,
                    .rows = n_in * b,
                    .columns = fx_part_at(n_out, n_slices, i + 1) - first,
                    .depth = fx_smaller(SUM_TILES, n_tiles - tile),
                    .parts = 1,
                    .add = add || tile > 0,
                };

                p->loops->product(&panel);
            }
}

/* The blocks of the weights, shared out: a chunk's part of the sums and, after the last chunk, the
 * weights from them. */
static void add_chunk(const struct sums *s, int chunk)
{
    const struct fx_winograd *p = s->p;
    int b = p->loops->block;
    size_t pair = block_pair(p);

#pragma omp for
    for (int i = 0; i < p->n_in * p->n_out; i++) {
        int in = i % p->n_in, out = i / p->n_in;
        struct fx_tile_matrices u =
            part_of(s->u, p->n_chunks == 1 ? 0 : i, p->depth * b, p->width, b);
        size_t first = (size_t)(out * p->width * p->in + in * p->depth);

        add_products(s, in, out, chunk_tiles(p, chunk), chunk > 0, &u);
        if (chunk == p->n_chunks - 1)
            p->loops->weight_gradient(
                &u, (size_t)p->in * pair, fx_smaller(p->depth, p->in - in * p->depth),
                fx_smaller(p->width, p->out - out * p->width), s->weights + first * pair);
    }
}

/* The part of one thread of the team; the loops above are shared out and wait for each other. */
static void run_weights(const struct fx_winograd *p, const struct fx_conv_norm *norm, const char *x,
                        const char *dy, float *weights, float *workspace, int thread)
{
    int b = p->loops->block;
    struct sums s = { .p = p, .v = workspace };

    s.m = s.v + (size_t)p->n_in * matrices_floats(p->chunk, p->depth, b);
    s.u = p->n_chunks == 1 ? workspace + p->shared_floats + (size_t)thread * p->thread_floats
                           : s.m + (size_t)p->n_out * matrices_floats(p->chunk, p->width, b);
    for (int g = 0; g < p->groups; g++) {
        s.x = block_of(p, &p->from, x, g * p->in);
        s.norm = fx_conv_norm_from(norm, g * p->in * b);
        s.dy = block_of(p, &p->to, dy, g * p->out);
        s.weights = weights + (size_t)g * (size_t)(p->in * p->out) * block_pair(p);
        for (int chunk = 0; chunk < p->n_chunks; chunk++) {
            transform_chunk(&s, chunk);
            add_chunk(&s, chunk);
        }
    }
}

void fx_winograd_run(const struct fx_winograd *p, const struct fx_conv_norm *norm, void *x,
                     float *weights, void *y, void *workspace)
{
    bool turned = p->direction == FX_CONV_DATA;

#pragma omp parallel num_threads(p->threads)
    if (p->direction == FX_CONV_WEIGHTS)
        run_weights(p, norm, x, y, weights, workspace, omp_get_thread_num());
    else
        run_values(p, norm, turned ? y : x, weights, turned ? x : y, workspace,
                   omp_get_thread_num(), omp_get_num_threads());
}
