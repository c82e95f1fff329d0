/* Backward pass, one node at a time: adds to the gradients of a node's inputs and parameters.  An
 * input whose gradient nobody wants (the images) has none: dx is NULL. */
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

/* A node with its memory. */
struct call {
    struct fx_program *program;
    const struct fx_node *node;
    const float *x[FX_NODE_MAX_INPUTS];
    float *dx[FX_NODE_MAX_INPUTS]; /* NULL: not wanted */
    const float *w[FX_NODE_MAX_PARAMS];
    float *dw[FX_NODE_MAX_PARAMS]; /* NULL: running statistics */
    const float *y, *dy;
    struct fx_value_shape in; /* of the first input */
    size_t n_elements;        /* of the output, whole batch */
};

static void backward_conv(struct call *c)
{
    struct fx_conv2d k = fx_ref_conv2d_of(c->program, c->node);

    if (c->dx[0])
        fx_ref_conv2d_data(&k, c->dy, c->w[0], c->dx[0], c->program->model->workspace.base);
    fx_ref_conv2d_weight(&k, c->x[0], c->dy, c->dw[0]);
}

static void backward_batchnorm(struct call *c, int number)
{
    struct fx_batchnorm k = fx_ref_batchnorm_of(c->program, c->node);
    const double *mean = fx_ref_statistics(c->program, number), *var = mean + k.c;

    fx_ref_batchnorm_backward(&k, c->x[0], c->y, c->dy, mean, var, c->w[0], c->dx[0], c->dw[0],
                              c->dw[1]);
}

static void backward_add(struct call *c)
{
    for (int i = 0; i < c->node->n_inputs; i++)
        if (c->dx[i])
            fx_ref_add_backward(c->n_elements, c->y, c->dy, c->node->relu, c->dx[i]);
}

static void backward_concat(struct call *c)
{
    const struct fx_graph *graph = c->program->model->graph;
    size_t area = (size_t)(c->node->shape.h * c->node->shape.w), offset = 0;
    size_t n_outer = (size_t)(c->program->n * c->node->shape.tokens);

    for (int i = 0; i < c->node->n_inputs; i++) {
        size_t n_inner = (size_t)graph->nodes[c->node->inputs[i]].shape.c * area;

        if (c->dx[i])
            fx_ref_concat_backward(n_outer, n_inner, (size_t)c->node->shape.c * area, offset, c->dy,
                                   c->dx[i]);
        offset += n_inner;
    }
}

static void backward_dropout(struct call *c)
{
    const struct fx_batch *batch = &c->program->batch;
    struct fx_dropout d = fx_dropout_of(c->node, batch->seed, batch->epoch);

    fx_ref_dropout_backward(&d, c->program->n, c->node->shape, batch->numbers, c->dy, c->dx[0]);
}

static void backward_attention(struct call *c)
{
    struct fx_dropout dropout;
    struct fx_attention k = fx_ref_attention_of(c->program, c->node, &dropout);

    fx_ref_attention_backward(&k, c->x[0], c->dy, c->dx[0]);
}

static void backward_linear(struct call *c)
{
    struct fx_linear k = fx_ref_linear_of(c->program, c->node);

    fx_ref_linear_backward(&k, c->x[0], c->w[0], c->y, c->dy, c->dx[0], c->dw[0], c->dw[1]);
}

static void backward_layernorm(struct call *c)
{
    struct fx_layernorm k = fx_ref_layernorm_of(c->program, c->node);

    fx_ref_layernorm_backward(&k, c->x[0], c->dy, c->w[0], c->dx[0], c->dw[0], c->dw[1]);
}

static struct call prepare(struct fx_program *program, int number)
{
    const struct fx_model *model = program->model;
    const struct fx_node *node = &model->graph->nodes[number];
    struct call c = { .program = program,
                      .node = node,
                      .y = fx_ref_value(program, number),
                      .dy = fx_ref_gradient(program, number) };

    for (int i = 0; i < node->n_inputs; i++) {
        c.x[i] = fx_ref_value(program, node->inputs[i]);
        c.dx[i] = fx_ref_gradient(program, node->inputs[i]);
    }
    for (int i = 0; i < node->n_params; i++) {
        int param = node->params[i];

        c.w[i] = fx_store_at(&model->store, param, FX_ROLE_VALUE);
        if (model->graph->params[param].kind == FX_PARAM_TRAINED)
            c.dw[i] = fx_store_at(&model->store, param, FX_ROLE_GRAD);
    }
    if (node->n_inputs > 0)
        c.in = model->graph->nodes[node->inputs[0]].shape;
    c.n_elements = (size_t)program->n * (size_t)fx_shape_elements(node->shape);
    return c;
}

/* Nodes without parameters and with one input: nothing to do when its gradient is not wanted. */
static bool is_idle(const struct call *c)
{
    return c->node->n_inputs == 0 ||
           (c->node->n_inputs == 1 && c->node->n_params == 0 && !c->dx[0]);
}

void fx_ref_backward_node(struct fx_program *program, int number)
{
    struct call c = prepare(program, number);
    const struct fx_node *node = c.node;
    int n = program->n;

    if (is_idle(&c))
        return;
    switch (node->kind) {
    case FX_NODE_INPUT:
        break;
    case FX_NODE_CONV2D:
        backward_conv(&c);
        break;
    case FX_NODE_BATCHNORM:
        backward_batchnorm(&c, number);
        break;
    case FX_NODE_ADD:
        backward_add(&c);
        break;
    case FX_NODE_CONCAT:
        backward_concat(&c);
        break;
    case FX_NODE_AVGPOOL2:
        fx_ref_avgpool2_backward(n * c.in.c, c.in.h, c.in.w, c.dy, c.dx[0]);
        break;
    case FX_NODE_GLOBALPOOL:
        fx_ref_globalpool_backward(n * c.in.c, c.in.h * c.in.w, c.dy, c.dx[0]);
        break;
    case FX_NODE_DROPOUT:
        backward_dropout(&c);
        break;
    case FX_NODE_LINEAR:
        backward_linear(&c);
        break;
    case FX_NODE_LAYERNORM:
        backward_layernorm(&c);
        break;
    case FX_NODE_PRODUCT:
        fx_ref_product_backward(node->n_inputs, c.n_elements, c.x, node->shift, c.dy, c.dx);
        break;
    case FX_NODE_WEIGHTED_SUM:
        fx_ref_weighted_sum_backward(node->n_inputs, c.n_elements, c.x, c.w[0], c.dy, c.dx,
                                     c.dw[0]);
        break;
    case FX_NODE_STACK:
        fx_ref_stack_backward(node->n_inputs, n, c.in.c, c.dy, c.dx);
        break;
    case FX_NODE_ATTENTION:
        backward_attention(&c);
        break;
    case FX_NODE_TOKEN_MEAN:
        fx_ref_token_mean_backward(n, c.in.tokens, c.in.c, c.dy, c.dx[0]);
        break;
    }
}
