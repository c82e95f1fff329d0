/* Where a value or a gradient lies: a view of a buffer of the memory plan.
 *
 * Dense values are packed rows of f32.  Maps hold their channels in blocks of `block`
 * (fx_lower_rules), the last one padded; whether a block's pixels lie together (nChw16c) or a
 * pixel's blocks (NHWC) is the back end's own: the sizes here are the same.  A map may be a channel
 * prefix of something wider, or *group-major*: cut into groups of channel blocks, each with all its
 * images together, so that each group is a map of its own. */
#ifndef FX_BACKEND_LOWER_VIEW_H
#define FX_BACKEND_LOWER_VIEW_H

#include "net/blocks.h"

#include <stdbool.h>
#include <stddef.h>

struct fx_view {
    int buffer; /* number in the plan; -1: none */
    void *data; /* bound by fx_lowered_bind */
    bool is_map;
    bool is_exact;      /* nothing but this value in the buffer, zeros in its padding */
    int c, area, w;     /* channels; h * w; w */
    size_t image_bytes; /* maps: from one image to the next; 0 in an instruction: no view */
    int group_blocks;   /* group-major: channel blocks of a group; else 0 */
    size_t group_bytes; /* group-major: from one group to the next */
};

/* The groups of a group-major map; 1: it is none. */
static inline int fx_view_groups(const struct fx_view *view, int block)
{
    return view->group_blocks > 0 ? fx_blocks(view->c, block) / view->group_blocks : 1;
}

#endif
