/* Forward pass, one node at a time: gathers a node's inputs and parameters and calls its kernel. */
#include "backend/ref/ref_model.h"

#include "backend/ref/attention.h"
#include "backend/ref/batchnorm.h"
#include "backend/ref/conv2d.h"
#include "backend/ref/dropout.h"
#include "backend/ref/fuse.h"
#include "backend/ref/join.h"
#include "backend/ref/layernorm.h"
#include "backend/ref/linear.h"
#include "backend/ref/pool.h"

#include <string.h>

/* A node with its memory. */
struct call {
    struct fx_program *program;
    const struct fx_node *node;
    const float *x[FX_NODE_MAX_INPUTS];
    const float *w[FX_NODE_MAX_PARAMS];
    float *y;
    struct fx_value_shape in; /* of the first input */
    size_t n_elements;        /* of the output, whole batch */
};

static void forward_batchnorm(struct call *c, int number)
{
    struct fx_batchnorm k = fx_ref_batchnorm_of(c->program, c->node);
    double *mean = fx_ref_statistics(c->program, number), *var = mean + k.c;

    if (c->program->mode == FX_TRAIN) {
        fx_ref_batchnorm_stats(&k, c->x[0], mean, var);
    } else {
        for (int i = 0; i < k.c; i++) {
            mean[i] = (double)c->w[2][i];
            var[i] = (double)c->w[3][i];
        }
    }
    fx_ref_batchnorm(&k, c->x[0], mean, var, c->w[0], c->w[1], c->y);
}

static void forward_concat(struct call *c)
{
    const struct fx_graph *graph = c->program->model->graph;
    size_t area = (size_t)(c->node->shape.h * c->node->shape.w), offset = 0;
    size_t n_outer = (size_t)(c->program->n * c->node->shape.tokens);

    for (int i = 0; i < c->node->n_inputs; i++) {
        size_t n_inner = (size_t)graph->nodes[c->node->inputs[i]].shape.c * area;

        fx_ref_concat(n_outer, n_inner, (size_t)c->node->shape.c * area, offset, c->x[i], c->y);
        offset += n_inner;
    }
}

static void forward_dropout(struct call *c)
{
    const struct fx_batch *batch = &c->program->batch;
    struct fx_dropout d = fx_dropout_of(c->node, batch->seed, batch->epoch);

    if (c->program->mode == FX_TRAIN)
        fx_ref_dropout(&d, c->program->n, c->node->shape, batch->numbers, c->x[0], c->y);
    else
        memcpy(c->y, c->x[0], c->n_elements * sizeof *c->y);
}

static void forward_attention(struct call *c)
{
    struct fx_dropout dropout;
    struct fx_attention k = fx_ref_attention_of(c->program, c->node, &dropout);

    fx_ref_attention(&k, c->x[0], c->y);
}

static void forward_conv(struct call *c)
{
    struct fx_conv2d k = fx_ref_conv2d_of(c->program, c->node);

    fx_ref_conv2d(&k, c->x[0], c->w[0], c->y, c->program->model->workspace.base);
}

static void forward_linear(struct call *c)
{
    struct fx_linear k = fx_ref_linear_of(c->program, c->node);

    fx_ref_linear(&k, c->x[0], c->w[0], c->w[1], c->y);
}

static void forward_layernorm(struct call *c)
{
    struct fx_layernorm k = fx_ref_layernorm_of(c->program, c->node);

    fx_ref_layernorm(&k, c->x[0], c->w[0], c->w[1], c->y);
}

static struct call prepare(struct fx_program *program, int number)
{
    const struct fx_graph *graph = program->model->graph;
    const struct fx_node *node = &graph->nodes[number];
    struct call c = { .program = program, .node = node, .y = fx_ref_value(program, number) };

    for (int i = 0; i < node->n_inputs; i++)
        c.x[i] = fx_ref_value(program, node->inputs[i]);
    for (int i = 0; i < node->n_params; i++)
        c.w[i] = fx_store_at(&program->model->store, node->params[i], FX_ROLE_VALUE);
    if (node->n_inputs > 0)
        c.in = graph->nodes[node->inputs[0]].shape;
    c.n_elements = (size_t)program->n * (size_t)fx_shape_elements(node->shape);
    return c;
}

void fx_ref_forward_node(struct fx_program *program, int number)
{
    struct call c = prepare(program, number);
    const struct fx_node *node = c.node;
    int n = program->n;

    switch (node->kind) {
    case FX_NODE_INPUT: /* written by input or value_write */
        break;
    case FX_NODE_CONV2D:
        forward_conv(&c);
        break;
    case FX_NODE_BATCHNORM:
        forward_batchnorm(&c, number);
        break;
    case FX_NODE_ADD:
        fx_ref_add(c.n_elements, c.x[0], c.x[1], node->relu, c.y);
        break;
    case FX_NODE_CONCAT:
        forward_concat(&c);
        break;
    case FX_NODE_AVGPOOL2:
        fx_ref_avgpool2(n * c.in.c, c.in.h, c.in.w, c.x[0], c.y);
        break;
    case FX_NODE_GLOBALPOOL:
        fx_ref_globalpool(n * c.in.c, c.in.h * c.in.w, c.x[0], c.y);
        break;
    case FX_NODE_DROPOUT:
        forward_dropout(&c);
        break;
    case FX_NODE_LINEAR:
        forward_linear(&c);
        break;
    case FX_NODE_LAYERNORM:
        forward_layernorm(&c);
        break;
    case FX_NODE_PRODUCT:
        fx_ref_product(node->n_inputs, c.n_elements, c.x, node->shift, c.y);
        break;
    case FX_NODE_WEIGHTED_SUM:
        fx_ref_weighted_sum(node->n_inputs, c.n_elements, c.x, c.w[0], c.y);
        break;
    case FX_NODE_STACK:
        fx_ref_stack(node->n_inputs, n, c.in.c, c.x, c.y);
        break;
    case FX_NODE_ATTENTION:
        forward_attention(&c);
        break;
    case FX_NODE_TOKEN_MEAN:
        fx_ref_token_mean(n, c.in.tokens, c.in.c, c.x[0], c.y);
        break;
    }
}
