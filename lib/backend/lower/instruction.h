/* What a graph is lowered to: a list of instructions for each lane, over views of buffers.
 *
 * Flow: lower.h writes instructions and buffers -> plan.h places the buffers -> fx_lowered_bind
 * gives the views their addresses when the model allocates -> the back end runs the instructions of
 * each lane, in their order: the experts' lanes first and the head's last in the forward pass, the
 * other way round in the backward pass. */
#ifndef FX_BACKEND_LOWER_INSTRUCTION_H
#define FX_BACKEND_LOWER_INSTRUCTION_H

#include "backend/backend.h"
#include "backend/lower/plan.h"
#include "net/blocks.h"

#include <stdbool.h>
#include <stddef.h>

/* Where a value or a gradient lies: a view of a buffer of the memory plan.
 *
 * Dense values are packed rows of f32.  Maps hold their channels in blocks of `block`
 * (fx_lower_rules), the last one padded; whether a block's pixels lie together (nChw16c) or a
 * pixel's blocks (NHWC) is the back end's own: the sizes here are the same.  A map may be a channel
 * prefix of something wider, or *group-major*: cut into groups of channel blocks, each with all its
 * images together, so that each group is a map of its own. */
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

enum { FX_MAX_LANES_OF_GRAPH = FX_GRAPH_MAX_EXPERTS + 1 }; /* the experts' and the head's */

/* Kinds of instructions.  Before each: what operands[0], [1] ... are.  All work on whole
 * batches of n images.  `exact` maps have no neighbours in their buffer and keep zeros in their
 * padding; other maps may be prefixes of wider ones, whose other channels an instruction must leave
 * alone. Maps of COPY_OUT, CONV, NORM, DROP and ADD_INTO may be group-major.  Gradients of
 * parameters are = or, if the backward pass accumulates, +=. */
enum fx_opcode {
    /* from, to: to = channels first .. of from; to is exact */
    FX_INSTR_COPY_OUT,
    /* from, to: channels first .. of to = from; behind them zeros to the end of the block, which is
     * padding, or what the next copy fills */
    FX_INSTR_COPY_IN,
    /* a, b, y: y = a + b, then the node's ReLU; all exact; y may be a or b */
    FX_INSTR_ADD,
    /* y, dy, dx: dx = dy where y > 0, else 0; all exact; dx may be dy */
    FX_INSTR_RELU_BACK,
    /* src, dst: as many channels of dst as src has += src; accumulate is true */
    FX_INSTR_ADD_INTO,
    /* x, y; both exact, or both group-major with as many groups.  With a `norm` x is what the norm
     * reads, and need not be exact */
    FX_INSTR_CONV_FORWARD,
    /* dy, dx; likewise; dx = or, if accumulate, += */
    FX_INSTR_CONV_BACK_DATA,
    /* x, dy; likewise; writes the weight's gradient */
    FX_INSTR_CONV_BACK_WEIGHTS,
    /* x: computes the statistics of channels first .. (the others are known; all are if first is
     * the number of channels), then gathers the running statistics of the node.  With a second
     * operand (stats_copy) these channels are copied from there, whole blocks, as by COPY_IN */
    FX_INSTR_NORM_STATS,
    /* x, y: y = drop(relu(norm(x))) with the node's ReLU and the dropout norm_drop; y may be x.
     * With a third operand a (norms_add): an ADD node with it, y = norm(x) + a, then ReLU if
     * sum_relu; y may be a */
    FX_INSTR_NORM_APPLY,
    /* x, dy, dx: writes the gradients of weight and bias; dx = or, if accumulate, += the gradient
     * of x; dx may be dy when it is =.  dx absent: only the parameters'.  A fixed norm has no
     * gradients but that of x, and its statistics are constants.  With a fourth operand, the result
     * y of an ADD behind the norm (norms_relu): as if RELU_BACK came first, dy in place */
    FX_INSTR_NORM_BACK,
    /* x, dy, g: of a norm on (a prefix of) a concatenation: writes the gradients of weight and
     * bias; g = or, if accumulate, += weight * (dy behind dropout and ReLU); weight times the
     * parameters' gradients of this pass are gathered likewise in the statistics (stats.d_bias,
     * d_weight).  g may be dy when it is = */
    FX_INSTR_NORM_GATHER,
    /* x, g, dx: channels first .. of x and g, as many as dx has: with M values a channel,
     *   dx = invstd * (g - d_bias / M - (x - mean) * invstd * d_weight / M),
     * what all gathering norms together hand on; node: the owner of the statistics; dx exact, or
     * the prefix g itself */
    FX_INSTR_NORM_SETTLE,
    /* none: draws the node's mask (only for back ends that draw it apart) */
    FX_INSTR_MASK,
    /* x, y: y = drop(x) by the node's mask; both exact; y may be x.  In the backward pass dy, dx */
    FX_INSTR_DROP,
    /* x, y: x exact */
    FX_INSTR_AVGPOOL,
    /* dy, dx: both exact */
    FX_INSTR_AVGPOOL_BACK,
    /* x: writes the node's value, a row for each image */
    FX_INSTR_GLOBALPOOL,
    /* dx: reads the node's gradient, a row for each image; dx exact */
    FX_INSTR_GLOBALPOOL_BACK,
    /* none: the node's value from the values of its inputs */
    FX_INSTR_DENSE,
    /* none: from the node's gradient those of its parameters, and of those inputs that have one: =
     * or, see `adds`, += */
    FX_INSTR_DENSE_BACK,
    FX_N_OPCODES
};

/* "conv forward": for profiles. */
const char *fx_opcode_name(enum fx_opcode op);

enum { FX_INSTR_MAX_OPERANDS = 4 };

struct fx_instr {
    enum fx_opcode op;
    int node; /* whose value or gradient it is about; -1: of a copy that belongs to no node */
    struct fx_view operands[FX_INSTR_MAX_OPERANDS];
    int norm;        /* CONV_FORWARD, CONV_BACK_WEIGHTS: the BATCHNORM that is applied, with its
                        ReLU, to x as it is read; 0: none, for node 0 is an INPUT */
    int first;       /* a channel */
    bool accumulate; /* += into the last operand */
    bool sum_relu;   /* NORM_APPLY with a sum */
    bool draws;      /* NORM_APPLY, DROP: draws the mask that it applies */
    /* DENSE_BACK: the loss, an earlier instruction of the backward pass or an earlier input of this
     * one has written the gradient of input i already; false: what lies there is left from the
     * training step before.  Without meaning where the input has no gradient. */
    bool adds[FX_NODE_MAX_INPUTS];
    uint64_t ns; /* time spent, over all runs; for the back end */
};

/* fx_instr_written: the maps that the instruction writes, and how many: 0 if it writes dense rows,
 * statistics or gradients of parameters only. */
enum { FX_INSTR_MAX_WRITTEN = 2 };
int fx_instr_written(const struct fx_instr *instr,
                     const struct fx_view *written[FX_INSTR_MAX_WRITTEN]);

struct fx_instr_list {
    struct fx_instr *instrs; /* owned */
    int n_instrs, cap_instrs;
    int n_forward; /* those of the forward pass come first */
};

/* Batch statistics of the channels of a map, shared by all BATCHNORM nodes that read it: three
 * arrays of `stride` floats (mean, biased variance, unbiased variance), and two more where the
 * gradient of the map is gathered. */
struct fx_stats {
    int buffer;
    float *mean, *var, *unbiased; /* bound */
    float *d_bias, *d_weight;     /* bound, if gathers: sums over the norms, see NORM_GATHER */
    bool gathers;
    float eps;   /* if gathers: of all the norms */
    int stride;  /* a multiple of 16; 0: no statistics */
    int n_known; /* channels whose instruction is written already */
};

/* A DROPOUT node's mask: one word a pixel and channel block of each image, in the order of the back
 * end, bit l for channel l of the block. */
struct fx_mask {
    int buffer;
    void *words;    /* bound; NULL: none */
    size_t n_words; /* 0: none */
    float factor;   /* of what is kept */
};

/* What is known of each node. */
struct fx_node_state {
    struct fx_view value;     /* buffer -1: not kept, or only for a moment */
    struct fx_view gradient;  /* of dense nodes, outputs and wanted inputs; else buffer -1 */
    bool is_dense, is_output; /* output: its gradient comes from outside (loss or test) */
    int norm_stats;           /* BATCHNORM: the node whose `stats` it reads; -1: running ones */
    int norm_drop;            /* BATCHNORM: the DROPOUT that is applied with it; -1: none */
    struct fx_stats stats;    /* of the node's value */
    struct fx_mask mask;      /* of a DROPOUT of maps, in training */
};

struct fx_lowered {
    const struct fx_graph *graph; /* borrowed */
    enum fx_mode mode;
    int n;       /* images */
    int n_lanes; /* without the head, whose number it is */
    struct fx_plan plan;
    struct fx_instr_list lanes[FX_MAX_LANES_OF_GRAPH];
    struct fx_node_state *nodes; /* owned; one for each node of the graph */
};

void fx_lowered_fini(struct fx_lowered *lowered); /* accepts a zeroed record */

/* The two placements of plan.h, for the instructions as they were written. */
enum fx_status fx_lowered_place(struct fx_lowered *lowered, const int *worker, int n_workers,
                                struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_lowered_place_lanes(struct fx_lowered *lowered, size_t *base, size_t *size,
                                      struct fx_err *err) FX_MUST_CHECK;

/* fx_lowered_bind: gives views, statistics and masks their addresses, once the arena is there: the
 * offset of the buffer from base[lane of the buffer].
 *   base  in  (n_lanes + 1): after fx_lowered_place the arena's start for every lane, after
 *             fx_lowered_place_lanes the start of each lane's region */
void fx_lowered_bind(struct fx_lowered *lowered, char *const *base);

/* fx_lowered_profile_print: the time that the back end noted in its instructions, by kind; forgets
 * it. */
void fx_lowered_profile_print(struct fx_lowered *lowered, FILE *out);

#endif
