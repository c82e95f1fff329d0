/* Compiles a graph into one instruction list per lane, for back ends that compile graphs.
 *
 *     analysis.c     who reads each value; stored or recomputed; which concatenations share a
 *                    buffer; which gradients are wanted
 *     lower.c        forward over the nodes of each lane, then back; each kind of node has a file
 *                    (conv norm add concat pool dropout dense), which writes its instructions
 *     builder.c      what those files use: buffers, values, reference-counted gradients
 *     instruction.h  the result: instructions, and buffers with life spans
 *
 * What differs between back ends is in struct fx_lower_rules. */
#ifndef FX_BACKEND_LOWER_LOWER_H
#define FX_BACKEND_LOWER_LOWER_H

#include "backend/lower/instruction.h"

/* Weight-gradient instructions that may still run when the next one starts. */
enum { FX_LOWER_WGRAD_DELAY = 2 };

enum fx_conv_direction { FX_CONV_FORWARD, FX_CONV_DATA, FX_CONV_WEIGHTS, FX_N_CONV_DIRECTIONS };

struct fx_lower_rules {
    int block;          /* channels of a block of maps */
    size_t value_bytes; /* of a value of a map */
    bool norms_add;     /* NORM_APPLY can add a map to its result, so an ADD needs no instruction */
    bool keeps_norms;   /* norms' results are stored for the backward pass; else computed again */
    bool stats_copy;    /* NORM_STATS can copy the channels whose statistics it takes, so that a
                           COPY_IN of whole blocks in front of it needs no instruction */
    bool norms_relu;    /* NORM_BACK can apply the RELU_BACK in front of it as it takes its sums */
    bool gathers_norms; /* has NORM_GATHER: the gradient of a concatenation that only norms read
                           costs one pass a norm instead of two */
    bool conv_adds;     /* a convolution can add the gradient of its input to what lies there */
    bool wgrad_stream;  /* weight gradients of convolutions may run on a second stream, beside the
                           instructions that follow: their operands stay alive until
                           FX_LOWER_WGRAD_DELAY more of them are written, unless a later instruction
                           changes them in place */
    size_t mask_bytes;  /* of a word of a dropout's mask, which has a bit a channel of a block */
    bool draws_apart;   /* MASK draws it; else the instruction that applies it first */

    /* The number of groups into which the maps around a grouped convolution of n images and c_in
     * input channels are to be divided (group-major: each group a map of its own, run one after the
     * other); 1, or NULL: not at all. */
    int (*group_major_of)(void *ctx, const struct fx_node *conv, int c_in, int n);

    /* Called when an instruction of a convolution is written, at most once a node and direction;
     * may be NULL: compiles it for maps like x, what the convolution reads (or its gradient), and
     * y, what it makes. */
    enum fx_status (*conv)(void *ctx, int node, enum fx_conv_direction direction,
                           const struct fx_view *x, const struct fx_view *y, struct fx_err *err);

    /* Whether the convolution can apply a norm with ReLU to the map that it reads, while it reads
     * it (fx_instr.norm), in the forward pass and for the gradient of its weights; NULL: none can.
     */
    bool (*conv_norms)(void *ctx, int node);

    /* Called when an instruction of a dense node is written; may be NULL. */
    void (*dense)(void *ctx, int node, bool is_backward);

    void *ctx; /* borrowed: of the functions */
};

/* The lanes of a graph without the head's, at least 1. */
int fx_lower_count_lanes(const struct fx_graph *graph);

/* fx_lower: fills *lowered for n images of a graph of at most FX_GRAPH_MAX_EXPERTS lanes; buffers
 * have no offsets yet.  The graph is borrowed, rules only during the call.  FX_EUSAGE for a graph
 * that cannot be lowered.  Also after a failure *lowered is freed by fx_lowered_fini. */
enum fx_status fx_lower(struct fx_lowered *lowered, const struct fx_lower_rules *rules,
                        const struct fx_graph *graph, enum fx_mode mode, int n,
                        struct fx_err *err) FX_MUST_CHECK;

#endif
