/* What each kind of node computes: its shape, and the two functions of lib/ops. */
#include "backend/ref/node.h"

#include "ops/operators.h"
#include "ops/dropout.h"

#include <string.h>

/* ---- shapes ---- */

/* Of the first input. */
static struct fx_value_shape shape_in(const struct fx_operands *o)
{
    return o->graph->nodes[o->node->inputs[0]].shape;
}

/* Values of the result, whole batch. */
static size_t n_elements(const struct fx_operands *o)
{
    return (size_t)o->n * (size_t)fx_shape_elements(o->node->shape);
}

static int area(const struct fx_node *node)
{
    return node->shape.h * node->shape.w;
}

/* ---- spatial nodes ---- */

static struct fx_conv2d conv_of(const struct fx_operands *o)
{
    const struct fx_node *node = o->node;
    struct fx_value_shape in = shape_in(o);

    return (struct fx_conv2d){
        .n = o->n,
        .c_in = in.c,
        .h_in = in.h,
        .w_in = in.w,
        .c_out = node->shape.c,
        .h_out = node->shape.h,
        .w_out = node->shape.w,
        .kernel = node->kernel,
        .stride = node->stride,
        .pad = node->pad,
        .groups = node->groups,
    };
}

static void conv_forward(const struct fx_operands *o)
{
    struct fx_conv2d k = conv_of(o);

    fx_conv2d_forward(&k, o->x[0], o->w[0], o->y, o->row);
}

static void conv_backward(const struct fx_operands *o)
{
    struct fx_conv2d k = conv_of(o);

    if (o->dx[0])
        fx_conv2d_backward_data(&k, o->dy, o->w[0], o->dx[0], o->row);
    if (o->dw[0])
        fx_conv2d_backward_weight(&k, o->x[0], o->dy, o->dw[0]);
}

struct fx_batchnorm fx_node_batchnorm(const struct fx_node *node, int n)
{
    return (struct fx_batchnorm){
        .n = n, .c = node->shape.c, .area = area(node), .eps = node->eps, .relu = node->relu
    };
}

static void batchnorm_forward(const struct fx_operands *o)
{
    struct fx_batchnorm k = fx_node_batchnorm(o->node, o->n);
    double *mean = o->statistics, *var = mean + k.c;
    bool is_running = o->mode == FX_EVAL || fx_graph_is_fixed(o->graph, o->node);

    if (!is_running)
        fx_batchnorm_stats(&k, o->x[0], mean, var);
    for (int c = 0; is_running && c < k.c; c++) {
        mean[c] = (double)o->w[2][c];
        var[c] = (double)o->w[3][c];
    }
    fx_batchnorm_forward(&k, o->x[0], mean, var, o->w[0], o->w[1], o->y);
}

static void batchnorm_backward(const struct fx_operands *o)
{
    struct fx_batchnorm k = fx_node_batchnorm(o->node, o->n);

    fx_batchnorm_backward(&k, o->x[0], o->y, o->dy, o->statistics, o->statistics + k.c, o->w[0],
                          o->dx[0], o->dw[0], o->dw[1]);
}

static void avgpool_forward(const struct fx_operands *o)
{
    struct fx_value_shape in = shape_in(o);

    fx_avgpool2_forward(o->n * in.c, in.h, in.w, o->x[0], o->y);
}

static void avgpool_backward(const struct fx_operands *o)
{
    struct fx_value_shape in = shape_in(o);

    fx_avgpool2_backward(o->n * in.c, in.h, in.w, o->dy, o->dx[0]);
}

static void globalpool_forward(const struct fx_operands *o)
{
    struct fx_value_shape in = shape_in(o);

    fx_globalpool_forward(o->n * in.c, in.h * in.w, o->x[0], o->y);
}

static void globalpool_backward(const struct fx_operands *o)
{
    struct fx_value_shape in = shape_in(o);

    fx_globalpool_backward(o->n * in.c, in.h * in.w, o->dy, o->dx[0]);
}

/* ---- nodes on maps and on rows ---- */

static void add_forward(const struct fx_operands *o)
{
    fx_add_forward(n_elements(o), o->x[0], o->x[1], o->node->relu, o->y);
}

static void add_backward(const struct fx_operands *o)
{
    for (int i = 0; i < o->node->n_inputs; i++)
        if (o->dx[i])
            fx_add_backward(n_elements(o), o->y, o->dy, o->node->relu, o->dx[i]);
}

/* Floats of input i in each run of a concatenation; i = -1: of the whole run. */
static size_t run_of(const struct fx_operands *o, int i)
{
    int c = i < 0 ? o->node->shape.c : o->graph->nodes[o->node->inputs[i]].shape.c;

    return (size_t)c * (size_t)area(o->node);
}

static void concat_forward(const struct fx_operands *o)
{
    size_t n_outer = (size_t)(o->n * o->node->shape.tokens), offset = 0;

    for (int i = 0; i < o->node->n_inputs; offset += run_of(o, i++))
        fx_concat_forward(n_outer, run_of(o, i), run_of(o, -1), offset, o->x[i], o->y);
}

static void concat_backward(const struct fx_operands *o)
{
    size_t n_outer = (size_t)(o->n * o->node->shape.tokens), offset = 0;

    for (int i = 0; i < o->node->n_inputs; offset += run_of(o, i++))
        if (o->dx[i])
            fx_concat_backward(n_outer, run_of(o, i), run_of(o, -1), offset, o->dy, o->dx[i]);
}

static struct fx_dropout dropout_of(const struct fx_operands *o)
{
    return fx_dropout_of(o->node, o->batch->seed, o->batch->epoch);
}

static void dropout_forward(const struct fx_operands *o)
{
    struct fx_dropout d = dropout_of(o);

    if (o->mode == FX_TRAIN)
        fx_dropout_forward(&d, o->n, o->node->shape, o->batch->numbers, o->x[0], o->y);
    else
        memcpy(o->y, o->x[0], n_elements(o) * sizeof *o->y);
}

static void dropout_backward(const struct fx_operands *o)
{
    struct fx_dropout d = dropout_of(o);

    fx_dropout_backward(&d, o->n, o->node->shape, o->batch->numbers, o->dy, o->dx[0]);
}

/* ---- dense nodes ---- */

static struct fx_linear linear_of(const struct fx_operands *o)
{
    return (struct fx_linear){ .rows = o->n * o->node->shape.tokens,
                               .c_in = shape_in(o).c,
                               .c_out = o->node->shape.c,
                               .relu = o->node->relu };
}

static void linear_forward(const struct fx_operands *o)
{
    struct fx_linear k = linear_of(o);

    fx_linear_forward(&k, o->x[0], o->w[0], o->w[1], o->y);
}

static void linear_backward(const struct fx_operands *o)
{
    struct fx_linear k = linear_of(o);

    fx_linear_backward(&k, o->x[0], o->w[0], o->y, o->dy, o->dx[0], o->dw[0], o->dw[1]);
}

static struct fx_layernorm layernorm_of(const struct fx_operands *o)
{
    return (struct fx_layernorm){ .rows = o->n * o->node->shape.tokens,
                                  .c = o->node->shape.c,
                                  .eps = o->node->eps };
}

static void layernorm_forward(const struct fx_operands *o)
{
    struct fx_layernorm k = layernorm_of(o);

    fx_layernorm_forward(&k, o->x[0], o->w[0], o->w[1], o->y);
}

static void layernorm_backward(const struct fx_operands *o)
{
    struct fx_layernorm k = layernorm_of(o);

    fx_layernorm_backward(&k, o->x[0], o->dy, o->w[0], o->dx[0], o->dw[0], o->dw[1]);
}

static void product_forward(const struct fx_operands *o)
{
    fx_product_forward(o->node->n_inputs, n_elements(o), o->x, o->node->shift, o->y);
}

static void product_backward(const struct fx_operands *o)
{
    fx_product_backward(o->node->n_inputs, n_elements(o), o->x, o->node->shift, o->dy, o->dx);
}

static void weighted_sum_forward(const struct fx_operands *o)
{
    fx_weighted_sum_forward(o->node->n_inputs, n_elements(o), o->x, o->w[0], o->y);
}

static void weighted_sum_backward(const struct fx_operands *o)
{
    fx_weighted_sum_backward(o->node->n_inputs, n_elements(o), o->x, o->w[0], o->dy, o->dx,
                             o->dw[0]);
}

/* The gate is the last input. */
static void gated_sum_forward(const struct fx_operands *o)
{
    int n_values = o->node->n_inputs - 1;

    fx_gated_sum_forward(n_values, o->n, o->node->shape.c, o->x, o->x[n_values], o->y);
}

static void gated_sum_backward(const struct fx_operands *o)
{
    int n_values = o->node->n_inputs - 1;

    fx_gated_sum_backward(n_values, o->n, o->node->shape.c, o->x, o->x[n_values], o->dy, o->dx,
                          o->dx[n_values]);
}

static void stack_forward(const struct fx_operands *o)
{
    fx_stack_forward(o->node->n_inputs, o->n, o->node->shape.c, o->x, o->y);
}

static void stack_backward(const struct fx_operands *o)
{
    fx_stack_backward(o->node->n_inputs, o->n, o->node->shape.c, o->dy, o->dx);
}

/* In evaluation, and at p = 0, there is no dropout: *d is not used. */
static struct fx_attention attention_of(const struct fx_operands *o, struct fx_dropout *d)
{
    bool drops = o->mode == FX_TRAIN && o->node->p > 0;

    *d = dropout_of(o);
    return (struct fx_attention){ .n = o->n,
                                  .tokens = o->node->shape.tokens,
                                  .c = o->node->shape.c,
                                  .heads = o->node->heads,
                                  .dropout = drops ? d : NULL,
                                  .images = o->batch->numbers };
}

static void attention_forward(const struct fx_operands *o)
{
    struct fx_dropout d;
    struct fx_attention k = attention_of(o, &d);

    fx_attention_forward(&k, o->x[0], o->y);
}

static void attention_backward(const struct fx_operands *o)
{
    struct fx_dropout d;
    struct fx_attention k = attention_of(o, &d);

    fx_attention_backward(&k, o->x[0], o->dy, o->dx[0]);
}

static void token_mean_forward(const struct fx_operands *o)
{
    fx_token_mean_forward(o->n, shape_in(o).tokens, o->node->shape.c, o->x[0], o->y);
}

static void token_mean_backward(const struct fx_operands *o)
{
    fx_token_mean_backward(o->n, shape_in(o).tokens, o->node->shape.c, o->dy, o->dx[0]);
}

static void residual_forward(const struct fx_operands *o)
{
    fx_residual_forward(o->node->n_inputs, n_elements(o), o->x, o->y);
}

static void residual_backward(const struct fx_operands *o)
{
    fx_residual_backward(o->node->n_inputs, n_elements(o), o->dy, o->dx);
}

/* ---- dispatch ---- */

/* An INPUT has nothing to compute: input or value_write fills it. */
static const struct {
    void (*forward)(const struct fx_operands *o);
    void (*backward)(const struct fx_operands *o);
} operators[] = {
    [FX_NODE_INPUT] = { NULL, NULL },
    [FX_NODE_CONV2D] = { conv_forward, conv_backward },
    [FX_NODE_BATCHNORM] = { batchnorm_forward, batchnorm_backward },
    [FX_NODE_ADD] = { add_forward, add_backward },
    [FX_NODE_CONCAT] = { concat_forward, concat_backward },
    [FX_NODE_AVGPOOL2] = { avgpool_forward, avgpool_backward },
    [FX_NODE_GLOBALPOOL] = { globalpool_forward, globalpool_backward },
    [FX_NODE_DROPOUT] = { dropout_forward, dropout_backward },
    [FX_NODE_LINEAR] = { linear_forward, linear_backward },
    [FX_NODE_LAYERNORM] = { layernorm_forward, layernorm_backward },
    [FX_NODE_PRODUCT] = { product_forward, product_backward },
    [FX_NODE_WEIGHTED_SUM] = { weighted_sum_forward, weighted_sum_backward },
    [FX_NODE_GATED_SUM] = { gated_sum_forward, gated_sum_backward },
    [FX_NODE_STACK] = { stack_forward, stack_backward },
    [FX_NODE_ATTENTION] = { attention_forward, attention_backward },
    [FX_NODE_TOKEN_MEAN] = { token_mean_forward, token_mean_backward },
    [FX_NODE_RESIDUAL] = { residual_forward, residual_backward },
};

void fx_node_forward(const struct fx_operands *o)
{
    if (o->node->n_inputs > 0)
        operators[o->node->kind].forward(o);
}

/* Nothing to do for a node without parameters whose only input wants no gradient (the images). */
void fx_node_backward(const struct fx_operands *o)
{
    bool is_idle = o->node->n_inputs == 1 && o->node->n_params == 0 && !o->dx[0];

    if (o->node->n_inputs > 0 && !is_idle)
        operators[o->node->kind].backward(o);
}
