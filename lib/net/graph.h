/* The network as data: a graph of typed nodes over named parameters.
 *
 * One graph describes a whole run: K expert lanes, the fusion module and the global head.  It knows
 * shapes per image, not batch sizes, layouts or devices: a backend compiles it (backend/backend.h).
 * Letters: N batch, C channels, H, W, D feature width, K experts, T tokens.
 *
 * Every node has exactly one output, so a node's number is also its value's number; nodes stand in
 * execution order (inputs before users).  In the backward pass the gradient of a value is the sum
 * over its users. */
#ifndef FX_NET_GRAPH_H
#define FX_NET_GRAPH_H

#include "base/name_index.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FX_GRAPH_MAX_EXPERTS = 8, FX_NODE_MAX_PARAMS = 4 };
enum { FX_NODE_MAX_INPUTS = FX_GRAPH_MAX_EXPERTS + 1 }; /* the experts' vectors, and one more */
enum { FX_LANE_FUSION = -1 };                           /* lane of fusion module and global head */
enum { FX_HEAD_NUMBER = 0x8000 }; /* first fx_param.number of the global head */

enum fx_node_kind {
    FX_NODE_INPUT,  /* images (N, 3, 32, 32) f32, lane FX_LANE_FUSION, shared by all lanes.  Graphs
                       of operator tests hold several, of any shape, filled by value_write */
    FX_NODE_CONV2D, /* x -> conv(x); params: weight (O, C/groups, R, R); no bias; square kernel */
    FX_NODE_BATCHNORM,  /* x -> bn(x), then ReLU if relu; params: weight, bias, running_mean,
                           running_var; the counter num_batches_tracked is a graph parameter that
                           follows running_var */
    FX_NODE_ADD,        /* a, b -> a + b, then ReLU if relu */
    FX_NODE_CONCAT,     /* x_0 .. x_{n-1} -> channels joined */
    FX_NODE_AVGPOOL2,   /* 2x2 average, stride 2; an odd last row or column is left out */
    FX_NODE_GLOBALPOOL, /* (C, H, W) -> (C, 1, 1) mean over H * W */
    FX_NODE_DROPOUT, /* training: zero with probability p, else * 1/(1-p); evaluation: identity */
    FX_NODE_LINEAR,  /* rows (T, C) -> (T, O), then ReLU if relu; params: weight (O, C), bias (O) */
    FX_NODE_LAYERNORM,    /* over C, eps; params: weight (C), bias (C) */
    FX_NODE_PRODUCT,      /* x_0 .. x_{n-1} -> prod_k (x_k + shift), elementwise */
    FX_NODE_WEIGHTED_SUM, /* x_0 .. -> sum_k softmax(w)_k x_k; params: w (n) */
    FX_NODE_GATED_SUM,    /* x_0 .. x_{n-1} (C), g (n) -> sum_k softmax(g)_k x_k */
    FX_NODE_STACK,        /* n values (C) -> tokens (n, C): token k is x_k */
    FX_NODE_ATTENTION,  /* qkv (T, 3C) -> (T, C): softmax(q k^T / sqrt(C/heads)) v per head, dropout
                           p on the attention weights, whose mask element is (head * T + query) * T
                           + key; q, k, v are the three C-wide parts of a row */
    FX_NODE_TOKEN_MEAN, /* (T, C) -> (C): mean over tokens */
    FX_NODE_RESIDUAL,   /* x_0, x_1 .. x_n -> x_0 + the mean of x_1 .. x_n, elementwise */
};

/* The shape of a value per image: tokens x c x h x w; tokens is 1 except between STACK and
 * TOKEN_MEAN. */
struct fx_value_shape {
    int tokens, c, h, w;
};

struct fx_node {
    enum fx_node_kind kind;
    int lane; /* 0 .. K-1, or FX_LANE_FUSION */
    int n_inputs, inputs[FX_NODE_MAX_INPUTS];
    int n_params, params[FX_NODE_MAX_PARAMS]; /* numbers in graph->params, in the order above */
    struct fx_value_shape shape;              /* of the output */
    bool relu;                                /* BATCHNORM, ADD, LINEAR */
    int kernel, stride, pad, groups;          /* CONV2D */
    float p;                                  /* DROPOUT, ATTENTION */
    int dropout_layer; /* DROPOUT, ATTENTION: number in its lane (base/philox.h) */
    float eps;         /* BATCHNORM, LAYERNORM */
    float momentum;    /* BATCHNORM: 0.1 */
    int heads;         /* ATTENTION */
    float shift;       /* PRODUCT */
};

enum fx_param_kind {
    FX_PARAM_TRAINED,      /* f32, has gradient and optimizer state */
    FX_PARAM_FIXED,        /* f32, a weight that does not train; a BATCHNORM of them is in training
                              as in evaluation */
    FX_PARAM_RUNNING_MEAN, /* f32, updated at the commit of a step */
    FX_PARAM_RUNNING_VAR,  /* f32, unbiased */
    FX_PARAM_COUNTER,      /* i64 scalar num_batches_tracked */
};
enum fx_param_group { FX_GROUP_EXPERTS, FX_GROUP_FUSION, FX_GROUP_HEAD, FX_N_GROUPS };
enum fx_param_init {
    FX_INIT_ZERO,
    FX_INIT_ONE,
    FX_INIT_KAIMING_NORMAL_FAN_OUT, /* std = sqrt(2 / fan_out) */
    FX_INIT_XAVIER_UNIFORM,         /* bound = sqrt(6 / (fan_in + fan_out)) */
    FX_INIT_UNIFORM_FAN_IN,         /* bound = 1 / sqrt(fan_in) */
    FX_INIT_SLOT,                   /* 1 at every n_slots-th element from `slot`, else 0 */
    FX_INIT_OTHER_SLOTS,            /* 0 there, else 1 */
};

struct fx_param {
    char *name; /* owned; full checkpoint name, "expert_backbones.0.conv1.weight" */
    enum fx_param_kind kind;
    enum fx_param_group group;
    int lane; /* as fx_node.lane */
    int n_dims;
    int64_t shape[4];
    int64_t n_elements;
    enum fx_param_init init;
    int64_t fan_in, fan_out;
    int slot, n_slots;
    int number; /* the `layer` of FX_RNG_INIT: position in its component (expert or fusion module);
                   the head counts from FX_HEAD_NUMBER, so that it shares no draw with the fusion */
};

struct fx_graph {
    struct fx_node *nodes; /* owned */
    int n_nodes, cap_nodes;
    struct fx_param *params; /* owned; in state_dict order: experts, fusion_module, global_head */
    int n_params, cap_params;
    struct fx_name_index names; /* of the parameters */
    int n_experts;
    int n_classes;
    int input;                          /* node number */
    int features[FX_GRAPH_MAX_EXPERTS]; /* node numbers, each (D) */
    int logits[FX_GRAPH_MAX_EXPERTS];   /* node numbers, each (n_classes) */
    int fused;                          /* node number of the fused logits, -1 without */
    bool averages;                      /* training keeps moving averages of weights and running
                                           statistics (--ema) */
    bool input_gradients;               /* backward also computes the gradients of INPUT nodes */
};

void fx_graph_fini(struct fx_graph *graph); /* accepts a zeroed graph */

/* fx_graph_find_param: number by full name, or -1. */
int fx_graph_find_param(const struct fx_graph *graph, const char *name);

/* Whether the loss writes the gradient of this node's value: the logits of an expert, which other
 * nodes may read as well, or the fused ones. */
static inline bool fx_graph_is_head(const struct fx_graph *graph, int node)
{
    for (int k = 0; k < graph->n_experts; k++)
        if (graph->logits[k] == node)
            return true;
    return graph->fused == node;
}

/* A weight, trained or not: neither a running statistic nor a counter. */
static inline bool fx_param_is_weight(const struct fx_param *param)
{
    return param->kind == FX_PARAM_TRAINED || param->kind == FX_PARAM_FIXED;
}

/* Whether the node has parameters, and they do not train. */
static inline bool fx_graph_is_fixed(const struct fx_graph *graph, const struct fx_node *node)
{
    return node->n_params > 0 && graph->params[node->params[0]].kind == FX_PARAM_FIXED;
}

/* Whether a moving average of it is kept, in a graph that averages. */
static inline bool fx_param_is_averaged(const struct fx_param *param)
{
    return param->kind != FX_PARAM_FIXED && param->kind != FX_PARAM_COUNTER;
}

/* Elements of a value per image. */
static inline int64_t fx_shape_elements(struct fx_value_shape s)
{
    return (int64_t)s.tokens * s.c * s.h * s.w;
}

#endif
