/* Shared by the files of the lowering.
 *
 * Values.  A BATCHNORM (with the DROPOUT behind it) whose result only convolutions need again is
 * *deferred*: its value lives for a moment in the forward pass and is computed again from its input
 * in the backward pass, so only the inputs of norms and the results of sums are stored.
 *
 * Gradients.  The backward pass keeps a view of each value's gradient so far and counts the
 * references to its buffer.  A node hands its result on with fx_lower_contribute; where a value has
 * a gradient already the two are added, in place when nobody else refers to the buffer.  So a
 * residual sum costs nothing: both branches share one gradient buffer, and the last writer adds in
 * place. */
#ifndef FX_BACKEND_LOWER_LOWER_INTERNAL_H
#define FX_BACKEND_LOWER_LOWER_INTERNAL_H

#include "backend/lower/lower.h"

/* A chain of concatenations in one buffer. */
struct fx_concat_chain {
    int tip;             /* the last CONCAT node of the chain */
    bool gathers;        /* its gradient is gathered (FX_INSTR_NORM_GATHER) */
    float eps;           /* if so, of all the norms that read it */
    struct fx_view view; /* of the tip: all channels */
};

/* What the analysis knows of each node, and what the two passes note. */
struct fx_use {
    int n_users;  /* nodes that read the value, in the mode of the program */
    int n_left;   /* of them, not yet written in the forward pass */
    bool is_map;  /* a feature map in channel blocks; else dense rows */
    bool is_kept; /* for the caller */
    bool is_deferred;
    bool is_needed;   /* the backward pass reads the stored value */
    bool wants_grad;  /* something trained (or a wanted input) lies behind it */
    int fused_drop;   /* BATCHNORM: the DROPOUT that is applied with it, or -1 */
    int fused_norm;   /* ADD: the input BATCHNORM that is applied with it, or -1 */
    bool is_summed;   /* BATCHNORM: applied with an ADD */
    bool is_absorbed; /* BATCHNORM: applied by the convolution that alone reads it, so its result is
                         nowhere */
    int n_groups;     /* group-major with so many; 1: it is not */
    bool is_pooled;   /* 1x1 CONV2D: done after the AVGPOOL2 that alone reads it */
    int chain;        /* number of the buffer of which the value is a prefix, or -1 */

    struct fx_view pooled; /* of a pooled convolution: the pooled input */
    bool has_dense_grad; /* the loss, or an instruction of a dense node, has written the gradient */
};

struct fx_lowering {
    struct fx_lowered *lowered;
    const struct fx_lower_rules *rules;
    const struct fx_graph *graph;
    struct fx_use *uses;            /* owned */
    struct fx_concat_chain *chains; /* owned */
    int n_chains;
    struct fx_view *values;     /* owned: where each value is now; buffer -1: nowhere */
    struct fx_view *grads;      /* owned: the gradient so far */
    struct fx_instr_list *list; /* of the current lane */
    int lane;
    int wgrads[FX_LOWER_WGRAD_DELAY]; /* the lane's last CONV_BACK_WEIGHTS; -1: none */
    bool is_backward;
    struct fx_err *err;
};

/* fx_lower_analyse: fills uses and chains (analysis.c). */
enum fx_status fx_lower_analyse(struct fx_lowering *l) FX_MUST_CHECK;

/* fx_lower_input: the node that really makes input i of a node: in evaluation a DROPOUT is its
 * input. */
int fx_lower_input(const struct fx_lowering *l, const struct fx_node *node, int i);
/* The lane whose instructions a node belongs to; the head's is lowered->n_lanes. */
int fx_lower_lane(const struct fx_lowering *l, const struct fx_node *node);

/* ---- buffers and instructions of the current lane ---- */

/* A new exact map of c channels in a new buffer. */
enum fx_status fx_lower_new_map(struct fx_lowering *l, int c, int area, int w,
                                struct fx_view *view) FX_MUST_CHECK;
/* The same in the shape of value v, or of its gradient: group-major if v is. */
enum fx_status fx_lower_new_like(struct fx_lowering *l, int v, struct fx_view *view) FX_MUST_CHECK;
/* A new buffer of bytes that is kept. */
enum fx_status fx_lower_new_kept(struct fx_lowering *l, size_t n_bytes, int *buffer) FX_MUST_CHECK;
/* Appends an instruction; its views' buffers are alive at it. */
enum fx_status fx_lower_emit(struct fx_lowering *l, struct fx_instr instr) FX_MUST_CHECK;
/* Buffer `buffer` (no view) is alive at the instruction that comes next. */
void fx_lower_touch(struct fx_lowering *l, int buffer);
/* The same for the mask of DROPOUT `node`. */
void fx_lower_touch_mask(struct fx_lowering *l, int node);

/* ---- values ---- */

/* Where value v is; in the backward pass a deferred one is computed again first. */
enum fx_status fx_lower_value(struct fx_lowering *l, int v, struct fx_view *view) FX_MUST_CHECK;
/* The view itself if it is exact and not group-major, else a copy that is. */
enum fx_status fx_lower_exact(struct fx_lowering *l, const struct fx_view *view,
                              struct fx_view *exact) FX_MUST_CHECK;
/* Forward: where to write node's value: in its chain, over the dying map `over` (a node, -1: none),
 * or in a new buffer. */
enum fx_status fx_lower_result(struct fx_lowering *l, int node, int over,
                               struct fx_view *view) FX_MUST_CHECK;

/* ---- gradients (backward pass) ---- */

/* Nobody else shares the view's buffer, so it may be overwritten. */
bool fx_lower_is_exclusive(const struct fx_lowering *l, const struct fx_view *view);
/* Adds a reference; drops one. */
void fx_lower_share(struct fx_lowering *l, const struct fx_view *view);
void fx_lower_release(struct fx_lowering *l, const struct fx_view *view);
/* Hands `view` (one reference of which passes to v) to the gradient of value v. */
enum fx_status fx_lower_contribute(struct fx_lowering *l, int v,
                                   const struct fx_view *view) FX_MUST_CHECK;

/* ---- instructions that several kinds of nodes write (builder.c) ---- */

/* to = channels first .. of from; to is exact. */
enum fx_status fx_lower_copy_out(struct fx_lowering *l, int node, const struct fx_view *from,
                                 int first, const struct fx_view *to) FX_MUST_CHECK;
/* dst += src, the same channels of two views. */
enum fx_status fx_lower_add_into(struct fx_lowering *l, int node, const struct fx_view *dst,
                                 const struct fx_view *src) FX_MUST_CHECK;
/* view = norm `node`, with its dropout. */
enum fx_status fx_lower_norm_apply(struct fx_lowering *l, int node,
                                   const struct fx_view *view) FX_MUST_CHECK;

/* ---- the kinds of nodes: forward and back (lower.c has the table) ---- */

typedef enum fx_status fx_lower_fn(struct fx_lowering *l, int node);

fx_lower_fn fx_lower_conv, fx_lower_conv_back;
fx_lower_fn fx_lower_norm, fx_lower_norm_back;
fx_lower_fn fx_lower_add, fx_lower_add_back;
fx_lower_fn fx_lower_concat, fx_lower_concat_back;
fx_lower_fn fx_lower_drop, fx_lower_drop_back;
fx_lower_fn fx_lower_avgpool, fx_lower_avgpool_back;
fx_lower_fn fx_lower_globalpool, fx_lower_globalpool_back;
fx_lower_fn fx_lower_dense, fx_lower_dense_back; /* fusion module, classifiers, head */

/* The convolution of `node` on maps of any size: y = conv(x), dW, dx; norm, accumulate: see
 * fx_instr.
 */
enum fx_status fx_lower_conv_between(struct fx_lowering *l, int node, int norm,
                                     const struct fx_view *x,
                                     const struct fx_view *y) FX_MUST_CHECK;
enum fx_status fx_lower_conv_weights(struct fx_lowering *l, int node, int norm,
                                     const struct fx_view *x,
                                     const struct fx_view *dy) FX_MUST_CHECK;
enum fx_status fx_lower_conv_data(struct fx_lowering *l, int node, const struct fx_view *dy,
                                  const struct fx_view *dx, bool accumulate) FX_MUST_CHECK;
/* Before a node's backward instructions: settles the gathered gradient of a value that begins a
 * chain of concatenations (concat.c). */
enum fx_status fx_lower_settle_prefix(struct fx_lowering *l, int node) FX_MUST_CHECK;

#endif
