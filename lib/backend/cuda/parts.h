/* Into how many parts the sum of a weight gradient of a 1x1 layer is cut.
 *
 * dw = dy^T x has as many products to a value as the batch has pixels, and few values: its tiles
 * fill a fraction of the device, each for a long time.  cuBLASLt may split the sum itself; where it
 * does not, parts of the pixels are products of their own, side by side, and their sums are added
 * in the order of the parts, so that nothing depends on scheduling. */
#ifndef FX_BACKEND_CUDA_PARTS_H
#define FX_BACKEND_CUDA_PARTS_H

enum {
    FX_PARTS_TILE = 128,   /* rows and columns of a tile, as cuBLASLt's larger ones have */
    FX_PARTS_LEAST = 1024, /* pixels of a part, which cost more than the sum of a tile's values */
    FX_PARTS_MOST = 32,
};

/* Tiles of n_lanes products of m x n values. */
static inline int fx_count_tiles(int m, int n, int n_lanes)
{
    return n_lanes * ((m + FX_PARTS_TILE - 1) / FX_PARTS_TILE) *
           ((n + FX_PARTS_TILE - 1) / FX_PARTS_TILE);
}

/* The largest power of two for which all tiles of all parts fit on the device at once, and equal
 * parts are not too short; 1: not at all. */
static inline int fx_count_parts(int m, int n, int rows, int n_lanes, int n_processors)
{
    int tiles = fx_count_tiles(m, n, n_lanes), parts = 1;

    while (2 * parts <= FX_PARTS_MOST && 2 * parts * tiles <= n_processors &&
           rows % (2 * parts) == 0 && rows / (2 * parts) >= FX_PARTS_LEAST)
        parts *= 2;
    return parts;
}

#endif
