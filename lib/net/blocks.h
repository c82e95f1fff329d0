/* Channels in blocks: maps and the weights of convolutions are padded with zeros to whole blocks,
 * so that vendor kernels never see a width that they are slow at and sums over arenas need no
 * masks. */
#ifndef FX_NET_BLOCKS_H
#define FX_NET_BLOCKS_H

#include "net/graph.h"

/* Channel blocks of c channels, the last one perhaps partial. */
static inline int fx_blocks(int c, int block)
{
    return (c + block - 1) / block;
}

/* A convolution as a vendor's library sees it: channels padded to whole blocks.  Groups whose width
 * is no multiple of the block are merged until it is (or until one is left, which is padded); the
 * weights between different original groups stay zero. */
struct fx_weight_layout {
    int block, kernel;
    int groups;      /* of the graph */
    int c_in, c_out; /* of the graph, all groups */
    int merged;      /* groups after merging */
    int in, out;     /* padded channels of a merged group */
};

struct fx_weight_layout fx_weight_layout_of(const struct fx_node *conv, int c_in, int block);
size_t fx_weight_floats(const struct fx_weight_layout *l); /* packed size */

#endif
