/* bf16 convolutions of our own, for processors with tiles of matrices (AMX): 1x1, and 3x3 with pad
 * 1, of stride 1 or 2, by the direct algorithm with sums in f32.
 *
 * The pixels of all images lie in one row, with a pixel of zeros behind each line of an image and a
 * line of zeros behind each image.  A tap of the kernel then is a shift along the row, and a
 * convolution a sum of matrix products, one for each tap, of the same matrix shifted:
 *     y = sum over taps of x[shifted] w        forward; with shifts back and w turned, the data
 *     dw of a tap = x[shifted]' dy             gradient of the weights
 * What comes out between the images is thrown away.  A map that is read or written at stride 2 is
 * four maps of a quarter of the pixels, one for each remainder of row and column (its planes).
 *
 * Flow: conv.c plans each direction of a layer -> shift.c cuts the work into pieces that stay in
 * the cache -> the loops of an instruction set (shift_template_internal.h) do them. */
#ifndef FX_BACKEND_CPU_SHIFT_INTERNAL_H
#define FX_BACKEND_CPU_SHIFT_INTERNAL_H

#include "backend/cpu/conv_internal.h"

#include <stdint.h>

enum {
    FX_SHIFT_BLOCK = 16,     /* channels of a block of a map */
    FX_SHIFT_PIXELS = 32,    /* of a product: two tiles */
    FX_SHIFT_DEPTH = 32,     /* channels, or pixels, of a tile: bf16 values in 64 bytes */
    FX_SHIFT_TILE = 16 * 32, /* bf16 values of a tile */
    FX_SHIFT_TAPS = 9,
    FX_SHIFT_PLANES = 4
};

/* The row of pixels. */
struct fx_shift_row {
    int n;     /* images */
    int pitch; /* from one line of an image to the next */
    int image; /* from one image to the next */
};

/* A plane of a map: the pixels first + step * (row, column). */
struct fx_shift_plane {
    int h, w; /* pixels that it has */
    int row, column;
};

/* A map of one group, blocked as in cpu_internal.h. */
struct fx_shift_map {
    int w, step;
    size_t block_values; /* from one channel block to the next */
    size_t image_values; /* from one image to the next */
    int n_planes;
    struct fx_shift_plane planes[FX_SHIFT_PLANES];
};

/* Pixels of the row in pairs of channel blocks: rows of 32 values, a matrix for each pair. */
struct fx_shift_rows {
    uint16_t *data; /* borrowed */
    size_t pair;    /* values from one pair of blocks to the next */
};

/* The sum over taps and channels for 32 pixels and one or two output blocks. */
struct fx_shift_values {
    const uint16_t *a;     /* the first pixel, unshifted */
    const ptrdiff_t *taps; /* values from there to the shifted pixel, for each tap */
    size_t a_pair;         /* values from one pair of input blocks to the next */
    const uint16_t *b;     /* tiles: for each output block one for each tap and pair of blocks */
    const int *b_taps;     /* which of the kernel's taps each tap is */
    size_t b_block;        /* values from one output block to the next */
    int n_taps, depth;     /* depth: pairs of input blocks */
    int columns;           /* output blocks: 1 or 2 */
};

/* Sums over pixels for one or two blocks of input channels and one or two of output channels. */
struct fx_shift_gradient {
    const uint16_t *a; /* the first pixel, shifted, of the first channel: a row for each channel */
    size_t a_row;
    const uint16_t *b; /* tiles of 32 pixels, for each output block */
    size_t b_block;
    int depth;         /* tiles of pixels */
    float *c[2][2];    /* 16x16 floats each, of input block i and output block j */
    int rows, columns; /* 1 or 2 */
    bool add;
};

/* The loops for one instruction set.  Blocks are of FX_SHIFT_BLOCK channels. */
struct fx_shift_loops {
    void (*begin)(void); /* before the products of a thread */
    void (*end)(void);

    /* n pixels of the row from `first` on, of n_blocks channel blocks; zeros between the images and
     * in a block that makes the last pair whole */
    void (*rows)(const struct fx_shift_row *r, const struct fx_shift_map *m, int plane,
                 const uint16_t *map, int n_blocks, int first, int n,
                 const struct fx_shift_rows *to);
    /* 32 pixels of a pair of blocks: to_pairs = a tile for each block, rows of pairs of pixels */
    void (*pairs)(const uint16_t *rows, uint16_t *to[2]);
    /* likewise a row of 32 pixels for each channel */
    void (*channels)(const uint16_t *rows, uint16_t *to[2], size_t to_row);
    /* a tile for each tap and pair of input blocks of an output block; w: its first input block in
     * the masters, in_floats from one to the next; n_taps * depth tiles */
    void (*weights)(const float *w, size_t in_floats, int n_in, int n_taps, uint16_t *to);
    /* the same turned for the data: of an input block, over output blocks */
    void (*turned)(const float *w, size_t out_floats, int n_out, int n_taps, uint16_t *to);
    /* y = 32 pixels from `first` of the row on; y: the map at its first block wanted */
    void (*values)(const struct fx_shift_values *v, const struct fx_shift_row *r,
                   const struct fx_shift_map *m, int plane, int first, uint16_t *y);
    void (*gradient)(const struct fx_shift_gradient *g);
};

extern const struct fx_shift_loops fx_shift_plain;
extern const struct fx_shift_loops fx_shift_amx;
/* Asks the system, once for the process, for the tiles' state; false: it refuses. */
bool fx_shift_amx_allowed(void);

struct fx_shift_tap {
    int tap;   /* of the kernel */
    int plane; /* of the map that is read; of WEIGHTS: x */
    int shift; /* pixels */
};

/* One direction of a layer, and how its work is cut. */
struct fx_shift {
    const struct fx_shift_loops *loops;
    enum fx_conv_direction direction;
    struct fx_shift_row row;
    struct fx_shift_map from, to; /* maps that are read and written; of WEIGHTS: x and dy */
    int groups, threads;
    int in, out;                             /* blocks of a group of the maps `from` and `to` */
    int n_taps;                              /* of the kernel */
    int n_pixels;                            /* of the row */
    int margin;                              /* pixels beside a chunk that shifts reach */
    int chunk, n_chunks;                     /* pixels that are packed at a time */
    int n_slices;                            /* values: of the pairs of blocks `out` */
    struct fx_shift_tap taps[FX_SHIFT_TAPS]; /* in the order of the planes that are written */
    int first_tap[FX_SHIFT_PLANES + 1];      /* of each of these */
    size_t shared_values, thread_values;     /* of the workspace, bf16 */
};

bool fx_shift_suits(const struct fx_conv_shape *shape);

/* fx_shift_plan: for as many threads as given. */
void fx_shift_plan(struct fx_shift *p, const struct fx_shift_loops *loops,
                   const struct fx_conv_shape *shape, enum fx_conv_direction direction,
                   int threads);
size_t fx_shift_workspace(const struct fx_shift *p); /* bytes */

/* fx_shift_run: x, y: the layer's input and result, or their gradients; what the direction does not
 * write is read.  The same bytes for any number of threads. */
void fx_shift_run(const struct fx_shift *p, void *x, float *weights, void *y, void *workspace);

#endif
