/* One node at a time, forward and backward, with the mathematics of lib/ops.
 *
 * The ref back end runs every node this way; the cpu back end runs its dense nodes (fusion module,
 * classifiers, head) this way too, except LINEAR.  So for those ref and cpu are not independent of
 * each other: their tests compare with finite differences and with PyTorch (tests/ops,
 * tests/torch). */
#ifndef FX_BACKEND_REF_NODE_H
#define FX_BACKEND_REF_NODE_H

#include "backend/backend.h"

/* A node with the memory of its operands, in C order (N, T, C, H, W). */
struct fx_operands {
    const struct fx_graph *graph;
    const struct fx_node *node;
    int n; /* images */
    enum fx_mode mode;
    const struct fx_batch *batch; /* of dropout */
    const float *x[FX_NODE_MAX_INPUTS];
    float *dx[FX_NODE_MAX_INPUTS]; /* NULL: not wanted */
    const float *w[FX_NODE_MAX_PARAMS];
    float *dw[FX_NODE_MAX_PARAMS]; /* NULL: running statistics, fixed weights */
    float *y;
    const float *dy;    /* backward only */
    double *statistics; /* BATCHNORM: mean (C) and biased variance (C); forward writes them */
    double *row;        /* CONV2D: scratch, see ops/operators.h */
};

/* fx_node_forward: y = the node's value from its inputs' values.
 * fx_node_backward: adds (+=) to the gradients of its inputs and parameters. */
void fx_node_forward(const struct fx_operands *o);
void fx_node_backward(const struct fx_operands *o);

/* fx_node_batchnorm: the shape of a BATCHNORM of n images. */
struct fx_batchnorm;
struct fx_batchnorm fx_node_batchnorm(const struct fx_node *node, int n);

#endif
