/* Winograd convolutions of our own: 3x3, stride 1, pad 1, F(4x4, 3x3), in f32; maps may be bf16.
 *
 * An output tile of 4x4 pixels comes from an input tile of 6x6.  In the domain of the transforms
 * the convolution is 36 independent matrix products over tiles and channels, with a quarter of the
 * multiplications (Lavin, Gray 2016, "Fast Algorithms for Convolutional Neural Networks"):
 *     y  = A' [(G w G') . (B' x B)] A         forward; and, with the weights turned, the data
 *     dw = G' [(B' x B) . (A dy A')] G        gradient of the weights
 *
 * Flow: conv.c plans each direction of a layer -> winograd.c cuts the work into pieces that stay in
 * the cache -> the loops of an instruction set (winograd_template_internal.h) do them. */
#ifndef FX_BACKEND_CPU_WINOGRAD_INTERNAL_H
#define FX_BACKEND_CPU_WINOGRAD_INTERNAL_H

#include "backend/cpu/conv_internal.h"
#include "backend/cpu/product_internal.h"

enum { FX_WINOGRAD_TILE = 4, FX_WINOGRAD_POINTS = 36 };

/* Maps of one group, and how they are cut into tiles.  Maps are blocked as in cpu_internal.h. */
struct fx_tiling {
    int h, w;
    int rows, columns;   /* of tiles in an image */
    size_t block_values; /* from one channel block to the next */
    size_t image_values; /* from one image to the next */
};

/* Some tiles in the domain of the transforms: `points` matrices of a row for each tile and a column
 * for each channel. */
struct fx_tile_matrices {
    float *data;  /* borrowed */
    size_t row;   /* floats from one tile to the next */
    size_t point; /* floats from one matrix to the next */
};

/* The loops for one instruction set and type of maps, f32 or bf16; all else is f32.  tile, n_tiles:
 * which of all images' tiles; block, n_blocks: channel blocks. */
struct fx_winograd_loops {
    int block, columns; /* columns: the most vectors of a panel */
    size_t value_bytes; /* of maps */

    /* the tiles' rows of to = B' x B; norm: of these blocks */
    void (*input)(const struct fx_tiling *t, const void *x, int tile, int n_tiles, int n_blocks,
                  const struct fx_conv_norm *norm, const struct fx_tile_matrices *to);
    /* likewise A dy A' */
    void (*gradient)(const struct fx_tiling *t, const void *dy, int tile, int n_tiles, int n_blocks,
                     const struct fx_tile_matrices *to);
    /* y = A' m A; from has the blocks that y begins with */
    void (*output)(const struct fx_tiling *t, const struct fx_tile_matrices *from, int tile,
                   int n_tiles, int n_blocks, void *y);
    /* to = G w G': a row for each channel of n_in input blocks, a column for each of n_out output
     * blocks; w: the first of them, out_floats from an output block to the next */
    void (*weights)(const float *w, size_t out_floats, int n_in, int n_out,
                    const struct fx_tile_matrices *to);
    /* the same turned for the data: rows are output channels, columns input channels */
    void (*turned)(const float *w, size_t out_floats, int n_in, int n_out,
                   const struct fx_tile_matrices *to);
    /* w = G' from G; laid out as in `weights` */
    void (*weight_gradient)(const struct fx_tile_matrices *from, size_t out_floats, int n_in,
                            int n_out, float *w);
    void (*product)(const struct fx_panel *p);
};

extern const struct fx_winograd_loops fx_winograd_plain;
extern const struct fx_winograd_loops fx_winograd_avx2;
extern const struct fx_winograd_loops fx_winograd_avx512;
extern const struct fx_winograd_loops fx_winograd_avx512_bf16; /* maps in bf16 */

/* One direction of a layer, and how its work is cut. */
struct fx_winograd {
    const struct fx_winograd_loops *loops;
    enum fx_conv_direction direction;
    struct fx_tiling from, to; /* maps that are read and written; of WEIGHTS: x and dy */
    int groups, threads, n_tiles;
    int in, out;          /* blocks of a group of the maps `from` and `to` */
    int chunk, n_chunks;  /* tiles that are transformed at a time */
    int n_slices;         /* of the blocks `out` */
    int depth;            /* blocks of `in` that make a part of their own */
    int width;            /* WEIGHTS: likewise of `out` */
    int n_in, n_out;      /* WEIGHTS: such parts */
    size_t thread_floats; /* of the workspace, of a thread's own */
    size_t shared_floats; /* of the workspace, before the threads' */
};

/* fx_winograd_suits: whether it can be done, and faster than by the direct algorithm of oneDNN. */
bool fx_winograd_suits(const struct fx_conv_shape *shape);

/* fx_winograd_plan: for as many threads as given, whatever is cut otherwise. */
void fx_winograd_plan(struct fx_winograd *p, const struct fx_winograd_loops *loops,
                      const struct fx_conv_shape *shape, enum fx_conv_direction direction,
                      int threads);
size_t fx_winograd_workspace(const struct fx_winograd *p); /* bytes */

/* fx_winograd_run: norm: is applied to x where that is read, in FORWARD and WEIGHTS; x, y: the
 * layer's input and result, or their gradients; what the direction does not write is read.  The
 * same bytes for any number of threads. */
void fx_winograd_run(const struct fx_winograd *p, const struct fx_conv_norm *norm, void *x,
                     float *weights, void *y, void *workspace);

#endif
