/* The blocked layouts of the cpu back end, and the way in and out of them.
 *
 * A map is nChw{b}c: blocks of b channels, each pixel's b channels side by side; the last block is
 * padded with zeros.  A convolution's weights are [groups]OIhw{b}i{b}o, padded with zeros in both
 * channel counts, so that sums over arenas need no masks. */
#ifndef FX_BACKEND_CPU_LAYOUT_H
#define FX_BACKEND_CPU_LAYOUT_H

#include "backend/cpu/loops.h"
#include "net/graph.h"

/* Channel blocks of c channels, the last one perhaps partial. */
static inline int fx_blocks(int c, int block)
{
    return (c + block - 1) / block;
}

/* A convolution as oneDNN sees it: channels padded to whole blocks.  Groups whose width is no
 * multiple of the block are merged until it is (or until one is left, which is padded); the weights
 * between different original groups stay zero. */
struct fx_weight_layout {
    int block, kernel;
    int groups;      /* of the graph */
    int c_in, c_out; /* of the graph, all groups */
    int merged;      /* groups after merging */
    int in, out;     /* padded channels of a merged group */
};

struct fx_weight_layout fx_weight_layout_of(const struct fx_node *conv, int c_in, int block);
size_t fx_weight_floats(const struct fx_weight_layout *l); /* packed size */

/* plain: (c_out, c_in / groups, kernel, kernel) in C order.  pack also writes the zeros. */
void fx_weight_pack(const struct fx_weight_layout *l, const float *plain, float *packed);
void fx_weight_unpack(const struct fx_weight_layout *l, const float *packed, float *plain);

/* Puts zeros where a gradient has no parameter: between groups that were merged. */
void fx_weight_clear_rest(const struct fx_weight_layout *l, float *packed);

/* A map of one image between C order (c, h, w) f32 and blocks; pack writes the zeros. */
void fx_map_pack(const struct fx_loops *loops, int c, int area, const float *plain, void *packed);
void fx_map_unpack(const struct fx_loops *loops, int c, int area, const void *packed, float *plain);

#endif
