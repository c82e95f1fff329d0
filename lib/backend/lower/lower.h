/* From graph to steps, for back ends that compile graphs.
 *
 *     graph -> analysis.c: who reads what, stored or computed again, prefix, split
 *           -> walk.c: forward, then back, lane by lane; a file for each kind of node (*_steps.c)
 *           -> steps.h: steps, and buffers with life spans
 *
 * What differs between back ends it asks of them: the rules. */
#ifndef FX_BACKEND_LOWER_LOWER_H
#define FX_BACKEND_LOWER_LOWER_H

#include "backend/lower/steps.h"

enum { FX_LOWER_ASIDE = 2 };

enum fx_conv_direction { FX_CONV_FORWARD, FX_CONV_DATA, FX_CONV_WEIGHTS, FX_N_CONV_DIRECTIONS };

struct fx_lower_rules {
    int block;          /* channels of a block of maps */
    size_t value_bytes; /* of a value of a map */
    bool norms_add;     /* a norm's step can add a map to its result, so an ADD needs no step */
    bool keeps_norms;   /* norms' results are stored for the backward pass; else computed again */
    bool gathers_norms; /* has FX_STEP_NORM_GATHER: the gradient of a concatenation that only norms
                           read costs one pass a norm instead of two */
    bool weights_aside; /* gradients of convolutions' weights may be computed beside the steps that
                           follow: what such a step reads stays until FX_LOWER_ASIDE more of them
                           are written, unless a later step changes it in place */
    bool stores_masks;  /* else a dropout's mask is drawn wherever it is applied: no FX_STEP_MASK */

    /* Into how many groups, run one after the other, the maps around a grouped convolution of n
     * images and c_in input channels should be split; 1: all at once. */
    int (*split_of)(void *ctx, const struct fx_node *conv, int c_in, int n);

    /* Called when a convolution's step is written, at most once a node and direction, may be NULL:
     * compiles it for maps like x, what the convolution reads (or its gradient), and y, what it
     * makes. */
    enum fx_status (*conv)(void *ctx, int node, enum fx_conv_direction direction,
                           const struct fx_view *x, const struct fx_view *y, struct fx_err *err);

    /* Called when a step on vectors is written; may be NULL. */
    void (*vector)(void *ctx, int node, bool is_backward);

    void *ctx; /* borrowed: of the functions */
};

/* The lanes of a graph without the head's, at least 1. */
int fx_lower_count_lanes(const struct fx_graph *graph);

/* fx_lower: fills *lowered for n images of a graph of at most FX_GRAPH_MAX_EXPERTS lanes; buffers
 * have no places yet.  The graph is borrowed, rules only during the call.  FX_EUSAGE for a graph
 * that cannot run as steps.  Also after a failure *lowered is freed by fx_lowered_fini. */
enum fx_status fx_lower(struct fx_lowered *lowered, const struct fx_lower_rules *rules,
                        const struct fx_graph *graph, enum fx_mode mode, int n,
                        struct fx_err *err) FX_MUST_CHECK;

#endif
