/* How a convolution as matrix products is cut into pieces, and the pieces' order.
 *
 * Values: for a chunk of output pixels, a part of the input channels is packed at a time and
 * multiplied for all output channels, which add up in the result.  A slice of the part's weights
 * and the packed chunk lie in the L2.
 *
 * Gradients of weights are sums over pixels: for a part of the input channels, chunk after chunk is
 * packed, and its products with dy are added to the part's weights, which lie in the L2. */
#include "backend/cpu/im2col_internal.h"

#include <omp.h>

/* Sizes for an L2 of 1 MB, tried there. */
enum {
    PART = 256,       /* channels times taps of a part, if not of a single block */
    VALUE_ROWS = 192, /* pixels of a chunk */
    SUM_ROWS = 256    /* likewise of gradients of weights: the depth of their products */
};

bool fx_im2col_suits(const struct fx_conv_shape *s, enum fx_conv_direction direction)
{
    return !s->bf16 && direction != FX_CONV_DATA;
}

/* ---- plans ---- */

static int taps(const struct fx_im2col *p)
{
    return p->patches.kernel * p->patches.kernel;
}

/* A chunk is some images, or some lines of one. */
static void plan_chunks(struct fx_im2col *p, int rows)
{
    int lines = fx_larger(rows / p->w, 1);

    p->images = fx_smaller(fx_larger(lines / p->h, 1), p->n);
    p->pieces = fx_divide_up(p->h, lines);
    p->n_chunks = fx_divide_up(p->n, p->images) * p->pieces;
    p->rows = p->images * fx_divide_up(p->h, p->pieces) * p->w;
}

/* Rows an odd number of lines apart do not fall on the same lines of the cache. */
static size_t packed_row(const struct fx_im2col *p)
{
    const int line = FX_LINE / (int)sizeof(float);
    size_t lines = (size_t)fx_divide_up(p->depth * taps(p) * p->loops->block, line);

    return (lines | 1) * (size_t)line;
}

/* Weights between an input and an output block. */
static size_t pair_floats(const struct fx_im2col *p)
{
    return (size_t)(taps(p) * p->loops->block * p->loops->block);
}

void fx_im2col_plan(struct fx_im2col *p, const struct fx_im2col_loops *loops,
                    const struct fx_conv_shape *s, enum fx_conv_direction direction, int threads)
{
    *p = (struct fx_im2col){ .loops = loops,
                             .direction = direction,
                             .patches = { .h = s->h_in,
                                          .w = s->w_in,
                                          .w_out = s->w_out,
                                          .kernel = s->kernel,
                                          .stride = s->stride,
                                          .pad = s->pad },
                             .n = s->n,
                             .groups = s->groups,
                             .threads = threads,
                             .h = s->h_out,
                             .w = s->w_out,
                             .in = s->c_in / s->groups / loops->block,
                             .out = s->c_out / s->groups / loops->block,
                             .x_image = s->x_image,
                             .y_image = (size_t)(s->c_out * s->h_out * s->w_out),
                             .n_slices = 1 };
    p->n_parts = fx_divide_up(p->in, fx_larger(PART / (taps(p) * loops->block), 1));
    if (direction == FX_CONV_WEIGHTS) {
        int tasks = p->groups * p->n_parts;

        plan_chunks(p, SUM_ROWS);
        p->n_slices = fx_smaller(fx_divide_up(threads, tasks), p->out);
    } else {
        plan_chunks(p, fx_smaller(VALUE_ROWS, fx_divide_up(p->n * p->h * p->w, threads)));
    }
    p->depth = fx_divide_up(p->in, p->n_parts);
    p->n_parts = fx_divide_up(p->in, p->depth);
    p->thread_floats = (size_t)p->rows * packed_row(p);
}

size_t fx_im2col_workspace(const struct fx_im2col *p)
{
    return (size_t)p->threads * p->thread_floats * sizeof(float);
}

/* ---- pieces ---- */

/* Lines first .. first + n - 1 of the output of n_images images from `image` on. */
struct chunk {
    int image, n_images, first, n;
};

/* Beyond the last one: the last one. */
static struct chunk chunk_at(const struct fx_im2col *p, int number)
{
    int i = fx_smaller(number, p->n_chunks - 1), piece = i % p->pieces;
    int image = i / p->pieces * p->images, first = fx_part_at(p->h, p->pieces, piece);

    return (struct chunk){ image, fx_smaller(p->images, p->n - image), first,
                           fx_part_at(p->h, p->pieces, piece + 1) - first };
}

/* A block of x of one of the chunk's images. */
static const float *image_of(const struct fx_im2col *p, const float *x, const struct chunk *c,
                             int i, int block)
{
    size_t block_floats = (size_t)(p->patches.h * p->patches.w * p->loops->block);

    return x + (size_t)(c->image + i) * p->x_image + (size_t)block * block_floats;
}

/* Likewise of y, or its gradient, from the chunk's first pixel on. */
static float *pixels_of(const struct fx_im2col *p, const float *y, const struct chunk *c, int i,
                        int block)
{
    size_t pixel = (size_t)(block * p->h + c->first) * (size_t)p->w;

    return (float *)y + (size_t)(c->image + i) * p->y_image + pixel * (size_t)p->loops->block;
}

static int part_blocks(const struct fx_im2col *p, int part)
{
    return fx_smaller(p->depth, p->in - part * p->depth);
}

/* The first block of a part. */
static int block_of(const struct fx_im2col *p, int group, int part)
{
    return group * p->in + part * p->depth;
}

static void pack(const struct fx_im2col *p, const struct fx_conv_norm *norm, const float *x,
                 const struct chunk *c, int group, int part, float *to)
{
    int block = block_of(p, group, part);
    struct fx_conv_norm own = fx_conv_norm_from(norm, block * p->loops->block);
    size_t row = packed_row(p);

    for (int i = 0; i < c->n_images; i++)
        p->loops->pack(&p->patches, image_of(p, x, c, i, block), part_blocks(p, part), c->first,
                       c->n, &own, to + (size_t)(i * c->n * p->w) * row, row);
}

/* What `pack` reads of image i: share `share` of n. */
static struct fx_ahead packing_ahead(const struct fx_im2col *p, const float *x,
                                     const struct chunk *c, int i, int group, int part, int share,
                                     int n)
{
    const struct fx_patches *t = &p->patches;
    int n_blocks = part_blocks(p, part), block = fx_part_at(n_blocks, n, share);
    int first = fx_larger(c->first * t->stride - t->pad, 0);
    int end = fx_smaller((c->first + c->n - 1) * t->stride - t->pad + t->kernel, t->h);
    size_t line = (size_t)(t->w * p->loops->block);

    if (i >= c->n_images)
        return (struct fx_ahead){ 0 };
    return (struct fx_ahead){
        .from = image_of(p, x, c, i, block_of(p, group, part) + block) + (size_t)first * line,
        .step = (size_t)t->h * line * sizeof(float),
        .n = fx_part_at(n_blocks, n, share + 1) - block,
        .lines = (int)((size_t)(end - first) * line * sizeof(float)) / FX_LINE,
    };
}

/* ---- values ---- */

/* Chunk `number` of a group, of which `part` is packed: its products with the weights. */
static void multiply(const struct fx_im2col *p, const float *packed, const float *x,
                     const float *weights, float *y, int group, int number, int part)
{
    size_t b = (size_t)p->loops->block, out_floats = (size_t)p->in * pair_floats(p);
    int n_slices = fx_divide_up(p->out, p->loops->columns);
    bool is_last = part == p->n_parts - 1;
    struct chunk c = chunk_at(p, number), next = chunk_at(p, number + is_last);

    for (int s = 0; s < n_slices; s++) {
        int out = fx_part_at(p->out, n_slices, s);
        struct fx_panel panel = {
            .a_row = packed_row(p),
            .a_depth = 1,
            .b = weights + (size_t)(group * p->out + out) * out_floats +
                 (size_t)(part * p->depth) * pair_floats(p),
            .b_depth = b,
            .b_column = out_floats,
            .c_row = b,
            .c_column = (size_t)(p->h * p->w) * b,
            .rows = c.n * p->w,
            .columns = fx_part_at(p->out, n_slices, s + 1) - out,
            .depth = part_blocks(p, part) * taps(p) * (int)b,
            .parts = 1,
            .add = part > 0,
        };

        for (int i = 0; i < c.n_images; i++) {
            panel.a = packed + (size_t)(i * c.n * p->w) * panel.a_row;
            panel.c = pixels_of(p, y, &c, i, group * p->out + out);
            panel.ahead[0] =
                packing_ahead(p, x, &next, i, group, is_last ? 0 : part + 1, s, n_slices);
            p->loops->product(&panel);
        }
    }
}

/* The part of one thread. */
static void run_values(const struct fx_im2col *p, const struct fx_conv_norm *norm, const float *x,
                       const float *weights, float *y, float *workspace)
{
    int thread = omp_get_thread_num(), n_threads = omp_get_num_threads();
    int n = p->groups * p->n_chunks, end = fx_part_at(n, n_threads, thread + 1);
    float *packed = workspace + (size_t)thread * p->thread_floats;

    for (int i = fx_part_at(n, n_threads, thread); i < end; i++) {
        int group = i / p->n_chunks, number = i % p->n_chunks;
        struct chunk c = chunk_at(p, number);

        for (int part = 0; part < p->n_parts; part++) {
            pack(p, norm, x, &c, group, part, packed);
            multiply(p, packed, x, weights, y, group, number, part);
        }
    }
}

/* ---- gradients of weights ---- */

/* A part of the weights of a group, for blocks out .. end - 1 of dy. */
struct task {
    int group, part, out, end;
};

static struct fx_ahead blocks_ahead(const struct fx_im2col *p, const float *dy,
                                    const struct chunk *c, int block, int n_blocks)
{
    size_t line = (size_t)(p->w * p->loops->block) * sizeof(float);

    return (struct fx_ahead){ pixels_of(p, dy, c, 0, block), (size_t)p->h * line, n_blocks,
                              (int)((size_t)c->n * line) / FX_LINE };
}

/* The products of chunk `number`, which is packed. */
static void add_products(const struct fx_im2col *p, const float *packed, const float *x,
                         const float *dy, float *weights, int number, const struct task *t)
{
    size_t b = (size_t)p->loops->block, out_floats = (size_t)p->in * pair_floats(p);
    int n_calls = fx_divide_up(t->end - t->out, p->loops->columns), first = t->group * p->out;
    struct chunk c = chunk_at(p, number), next = chunk_at(p, number + 1);

    for (int i = 0; i < n_calls; i++) {
        int out = t->out + fx_part_at(t->end - t->out, n_calls, i);
        int after = t->out + fx_part_at(t->end - t->out, n_calls, i + 1);
        struct fx_panel panel = {
            .a = packed,
            .a_row = 1,
            .a_depth = packed_row(p),
            .a_part = (size_t)(c.n * p->w) * packed_row(p),
            .b = pixels_of(p, dy, &c, 0, first + out),
            .b_depth = b,
            .b_column = (size_t)(p->h * p->w) * b,
            .b_part = p->y_image,
            .c = weights + (size_t)(first + out) * out_floats +
                 (size_t)(t->part * p->depth) * pair_floats(p),
            .c_row = b,
            .c_column = out_floats,
            .rows = part_blocks(p, t->part) * taps(p) * (int)b,
            .columns = after - out,
            .depth = c.n * p->w,
            .parts = c.n_images,
            .add = number > 0,
            .ahead = { packing_ahead(p, x, &next, 0, t->group, t->part, i, n_calls),
                       after < t->end ? blocks_ahead(p, dy, &c, first + after, after - out)
                                      : blocks_ahead(p, dy, &next, first + t->out, after - out) },
        };

        p->loops->product(&panel);
    }
}

/* The part of one thread. */
static void run_weights(const struct fx_im2col *p, const struct fx_conv_norm *norm, const float *x,
                        const float *dy, float *weights, float *workspace)
{
    float *packed = workspace + (size_t)omp_get_thread_num() * p->thread_floats;

#pragma omp for
    for (int i = 0; i < p->groups * p->n_parts * p->n_slices; i++) {
        int slice = i % p->n_slices;
        struct task t = { .group = i / p->n_slices / p->n_parts,
                          .part = i / p->n_slices % p->n_parts,
                          .out = fx_part_at(p->out, p->n_slices, slice),
                          .end = fx_part_at(p->out, p->n_slices, slice + 1) };

        for (int number = 0; number < p->n_chunks; number++) {
            struct chunk c = chunk_at(p, number);

            pack(p, norm, x, &c, t.group, t.part, packed);
            add_products(p, packed, x, dy, weights, number, &t);
        }
    }
}

void fx_im2col_run(const struct fx_im2col *p, const struct fx_conv_norm *norm, float *x,
                   float *weights, float *y, void *workspace)
{
#pragma omp parallel num_threads(p->threads)
    if (p->direction == FX_CONV_WEIGHTS)
        run_weights(p, norm, x, y, weights, workspace);
    else
        run_values(p, norm, x, weights, y, workspace);
}
