/* Convolutions of our own as matrix products, f32, forward and for the gradients of weights.
 *
 * The pixels that an output pixel needs are packed into a row, the way known as im2col, but only
 * for some lines of the output and some channels at a time, so that they stay in the cache.  The
 * norm and the ReLU before the convolution are applied as they are packed.
 *
 * Flow: conv.c plans each direction of a layer -> im2col.c cuts the work -> the loops of an
 * instruction set (im2col_template_internal.h) pack and multiply. */
#ifndef FX_BACKEND_CPU_IM2COL_INTERNAL_H
#define FX_BACKEND_CPU_IM2COL_INTERNAL_H

#include "backend/cpu/conv_internal.h"
#include "backend/cpu/product_internal.h"

/* Which pixels of a map belong to an output pixel. */
struct fx_patches {
    int h, w;                /* of the map */
    int w_out;               /* output pixels of a line */
    int kernel, stride, pad; /* taps: kernel * kernel */
};

/* The loops for one instruction set. */
struct fx_im2col_loops {
    int block, columns; /* columns: the most vectors of a panel */

    /* A row for each of n_lines lines of output pixels, to_row floats from one to the next: of each
     * of n_blocks blocks the taps, of each its channels; from: one image; norm: of these blocks. */
    void (*pack)(const struct fx_patches *t, const float *from, int n_blocks, int first_line,
                 int n_lines, const struct fx_conv_norm *norm, float *to, size_t to_row);
    void (*product)(const struct fx_panel *p);
};

extern const struct fx_im2col_loops fx_im2col_plain;
extern const struct fx_im2col_loops fx_im2col_avx2;
extern const struct fx_im2col_loops fx_im2col_avx512;

/* FORWARD or WEIGHTS of a layer. */
struct fx_im2col {
    const struct fx_im2col_loops *loops;
    enum fx_conv_direction direction;
    struct fx_patches patches;
    int n, groups, threads;
    int h, w;                     /* of the output */
    int in, out;                  /* blocks of a group */
    size_t x_image, y_image;      /* floats from one image to the next */
    int images, pieces, n_chunks; /* a chunk: so many images, or an image in so many pieces */
    int rows;                     /* the most output pixels of a chunk */
    int depth, n_parts;           /* blocks `in` that are packed at a time */
    int n_slices;                 /* WEIGHTS: of the blocks `out`, which threads share out */
    size_t thread_floats;         /* of the workspace */
};

bool fx_im2col_suits(const struct fx_conv_shape *shape, enum fx_conv_direction direction);

void fx_im2col_plan(struct fx_im2col *p, const struct fx_im2col_loops *loops,
                    const struct fx_conv_shape *shape, enum fx_conv_direction direction,
                    int threads);
size_t fx_im2col_workspace(const struct fx_im2col *p); /* bytes */

/* fx_im2col_run: see fx_winograd_run. */
void fx_im2col_run(const struct fx_im2col *p, const struct fx_conv_norm *norm, float *x,
                   float *weights, float *y, void *workspace);

#endif
