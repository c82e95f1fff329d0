/* What each kind of node is in ONNX: a row of the table `emitters` for each.
 *
 * Values are (N, C, H, W) before the global pool, (N, C) behind it and (N, T, C) between STACK and
 * TOKEN_MEAN.  In evaluation a dropout is its input. */
#include "onnx/writer_internal.h"

#include <math.h>
#include <stdio.h>

/* What is emitted: a node, and the name that its value is to have. */
struct emission {
    struct fx_onnx_writer *w;
    const struct fx_node *node;
    const char *out;
};

struct name {
    char text[FX_ONNX_NAME_BYTES];
};

/* A value or constant within the node: "OUT/what". */
static struct name inner(const struct emission *e, const char *what)
{
    struct name name;

    snprintf(name.text, sizeof name.text, "%.*s/%.12s", FX_BUILDER_PATH_BYTES, e->out, what);
    return name;
}

static struct name inner_numbered(const struct emission *e, const char *what, int i)
{
    char text[24];

    snprintf(text, sizeof text, "%.6s%d", what, i);
    return inner(e, text);
}

static const char *input(const struct emission *e, int i)
{
    return fx_onnx_name(e->w, e->node->inputs[i]);
}

static const char *param(const struct emission *e, int i)
{
    return e->w->graph->params[e->node->params[i]].name;
}

static int rank_of(const struct fx_node *node)
{
    return node->shape.tokens > 1 ? 3 : node->shape.h * node->shape.w > 1 ? 4 : 2;
}

/* The name for a result that a ReLU follows; finish_relu appends that one. */
static struct name before_relu(const struct emission *e)
{
    struct name name;

    if (e->node->relu)
        return inner(e, "sum");
    snprintf(name.text, sizeof name.text, "%s", e->out);
    return name;
}

static void finish_relu(const struct emission *e)
{
    if (e->node->relu)
        fx_onnx_node1(e->w, "Relu", e->out, before_relu(e).text);
}

/* ---- on maps --------------------------------------------------------------------------------- */

/* Bytes to what the networks see, in the order of fx_input_normalized. */
static void emit_input(const struct emission *e)
{
    static const int64_t channels[] = { 3, 1, 1 };
    static const float white = 255;
    struct name f = inner(e, "float"), whole = inner(e, "255"), unit = inner(e, "unit");
    struct name mean = inner(e, "mean"), std = inner(e, "std"), centred = inner(e, "centred");

    fx_onnx_const_floats(e->w, whole.text, 0, NULL, &white);
    fx_onnx_const_floats(e->w, mean.text, 3, channels, e->w->mean);
    fx_onnx_const_floats(e->w, std.text, 3, channels, e->w->std);
    fx_onnx_begin(e->w, "Cast", f.text);
    fx_onnx_input(e->w, "images");
    fx_onnx_int(e->w, "to", FX_ONNX_FLOAT);
    fx_onnx_end(e->w);
    fx_onnx_node2(e->w, "Div", unit.text, f.text, whole.text);
    fx_onnx_node2(e->w, "Sub", centred.text, unit.text, mean.text);
    fx_onnx_node2(e->w, "Div", e->out, centred.text, std.text);
}

static void emit_conv(const struct emission *e)
{
    const struct fx_node *node = e->node;
    int64_t pads[] = { node->pad, node->pad, node->pad, node->pad };
    int64_t kernel[] = { node->kernel, node->kernel }, strides[] = { node->stride, node->stride };

    fx_onnx_begin(e->w, "Conv", e->out);
    fx_onnx_input(e->w, input(e, 0));
    fx_onnx_input(e->w, param(e, 0));
    fx_onnx_ints(e->w, "kernel_shape", 2, kernel);
    fx_onnx_ints(e->w, "strides", 2, strides);
    fx_onnx_ints(e->w, "pads", 4, pads);
    fx_onnx_int(e->w, "group", node->groups);
    fx_onnx_end(e->w);
}

static void emit_batchnorm(const struct emission *e)
{
    fx_onnx_begin(e->w, "BatchNormalization", before_relu(e).text);
    fx_onnx_input(e->w, input(e, 0));
    for (int i = 0; i < 4; i++)
        fx_onnx_input(e->w, param(e, i));
    fx_onnx_float(e->w, "epsilon", e->node->eps);
    fx_onnx_end(e->w);
    finish_relu(e);
}

static void emit_add(const struct emission *e)
{
    fx_onnx_node2(e->w, "Add", before_relu(e).text, input(e, 0), input(e, 1));
    finish_relu(e);
}

static void emit_concat(const struct emission *e)
{
    fx_onnx_begin(e->w, "Concat", e->out);
    for (int i = 0; i < e->node->n_inputs; i++)
        fx_onnx_input(e->w, input(e, i));
    fx_onnx_int(e->w, "axis", rank_of(e->node) == 3 ? 2 : 1);
    fx_onnx_end(e->w);
}

static void emit_avgpool2(const struct emission *e)
{
    static const int64_t two[] = { 2, 2 };

    fx_onnx_begin(e->w, "AveragePool", e->out);
    fx_onnx_input(e->w, input(e, 0));
    fx_onnx_ints(e->w, "kernel_shape", 2, two);
    fx_onnx_ints(e->w, "strides", 2, two);
    fx_onnx_end(e->w);
}

static void emit_globalpool(const struct emission *e)
{
    struct name mean = inner(e, "mean");

    fx_onnx_node1(e->w, "GlobalAveragePool", mean.text, input(e, 0));
    fx_onnx_node1(e->w, "Flatten", e->out, mean.text);
}

/* ---- on rows --------------------------------------------------------------------------------- */

/* Gemm takes matrices only: tokens are multiplied with the transposed weight. */
static void emit_token_linear(const struct emission *e)
{
    struct name transposed = inner(e, "weight"), product = inner(e, "product");

    fx_onnx_node1(e->w, "Transpose", transposed.text, param(e, 0));
    fx_onnx_node2(e->w, "MatMul", product.text, input(e, 0), transposed.text);
    fx_onnx_node2(e->w, "Add", before_relu(e).text, product.text, param(e, 1));
}

static void emit_linear(const struct emission *e)
{
    if (rank_of(e->node) == 3) {
        emit_token_linear(e);
    } else {
        fx_onnx_begin(e->w, "Gemm", before_relu(e).text);
        fx_onnx_input(e->w, input(e, 0));
        fx_onnx_input(e->w, param(e, 0));
        fx_onnx_input(e->w, param(e, 1));
        fx_onnx_int(e->w, "transB", 1);
        fx_onnx_end(e->w);
    }
    finish_relu(e);
}

static void emit_layernorm(const struct emission *e)
{
    fx_onnx_begin(e->w, "LayerNormalization", e->out);
    fx_onnx_input(e->w, input(e, 0));
    fx_onnx_input(e->w, param(e, 0));
    fx_onnx_input(e->w, param(e, 1));
    fx_onnx_float(e->w, "epsilon", e->node->eps);
    fx_onnx_end(e->w);
}

/* One factor of the product, with its shift. */
static struct name factor(const struct emission *e, int i)
{
    struct name shifted = inner_numbered(e, "shift", i);

    if (e->node->shift != 0) /* exact: the builder's constant */
        fx_onnx_node2(e->w, "Add", shifted.text, input(e, i), inner(e, "shift").text);
    else
        snprintf(shifted.text, sizeof shifted.text, "%s", input(e, i));
    return shifted;
}

static void emit_product(const struct emission *e)
{
    int last = e->node->n_inputs - 1;
    struct name so_far;

    if (e->node->shift != 0)
        fx_onnx_const_floats(e->w, inner(e, "shift").text, 0, NULL, &e->node->shift);
    so_far = factor(e, 0);
    for (int i = 1; i <= last; i++) {
        struct name next = factor(e, i), product = inner_numbered(e, "product", i);

        fx_onnx_node2(e->w, "Mul", i == last ? e->out : product.text, so_far.text, next.text);
        so_far = product;
    }
    if (last == 0)
        fx_onnx_node1(e->w, "Identity", e->out, so_far.text);
}

/* n values (N, C) as (N, n, C). */
static void stack(const struct emission *e, int n, const char *const *xs, const char *output)
{
    static const int64_t one[] = { 1 };
    struct name axis = inner(e, "axis");

    fx_onnx_const_ints(e->w, axis.text, 1, one);
    for (int i = 0; i < n; i++)
        fx_onnx_node2(e->w, "Unsqueeze", inner_numbered(e, "token", i).text, xs[i], axis.text);
    fx_onnx_begin(e->w, "Concat", output);
    for (int i = 0; i < n; i++)
        fx_onnx_input(e->w, inner_numbered(e, "token", i).text);
    fx_onnx_int(e->w, "axis", 1);
    fx_onnx_end(e->w);
}

/* The node's first n inputs. */
static void stack_inputs(const struct emission *e, int n, const char *output)
{
    const char *xs[FX_NODE_MAX_INPUTS];

    for (int i = 0; i < n; i++)
        xs[i] = input(e, i);
    stack(e, n, xs, output);
}

static void emit_softmax(const struct emission *e, const char *output, const char *x)
{
    fx_onnx_begin(e->w, "Softmax", output);
    fx_onnx_input(e->w, x);
    fx_onnx_int(e->w, "axis", -1);
    fx_onnx_end(e->w);
}

/* (n) times (N, n, C) is (N, C). */
static void emit_weighted_sum(const struct emission *e)
{
    struct name tokens = inner(e, "tokens"), weights = inner(e, "weights");

    stack_inputs(e, e->node->n_inputs, tokens.text);
    emit_softmax(e, weights.text, param(e, 0));
    fx_onnx_node2(e->w, "MatMul", e->out, weights.text, tokens.text);
}

/* (N, 1, n) times (N, n, C) is (N, 1, C). */
static void emit_gated_sum(const struct emission *e)
{
    int n = e->node->n_inputs - 1;
    struct name tokens = inner(e, "tokens"), weights = inner(e, "weights"), row = inner(e, "row");
    struct name mixed = inner(e, "mixed"), axis = inner(e, "axis");

    stack_inputs(e, n, tokens.text);
    emit_softmax(e, weights.text, input(e, n));
    fx_onnx_node2(e->w, "Unsqueeze", row.text, weights.text, axis.text);
    fx_onnx_node2(e->w, "MatMul", mixed.text, row.text, tokens.text);
    fx_onnx_node2(e->w, "Squeeze", e->out, mixed.text, axis.text);
}

static void emit_stack(const struct emission *e)
{
    stack_inputs(e, e->node->n_inputs, e->out);
}

static void emit_transpose(const struct emission *e, const char *output, const char *x,
                           const int64_t order[4])
{
    fx_onnx_begin(e->w, "Transpose", output);
    fx_onnx_input(e->w, x);
    fx_onnx_ints(e->w, "perm", 4, order);
    fx_onnx_end(e->w);
}

/* q, k and v, each (N, T, C), as (N, heads, T, d), k as (N, heads, d, T): "OUT/heads0" ... */
static void split_heads(const struct emission *e)
{
    static const int64_t rows[] = { 0, 2, 1, 3 }, columns[] = { 0, 2, 3, 1 };
    struct fx_value_shape s = e->node->shape;
    int64_t heads[] = { 0, s.tokens, e->node->heads, s.c / e->node->heads };
    struct name shape = inner(e, "headshape");

    fx_onnx_const_ints(e->w, shape.text, 4, heads);
    fx_onnx_begin(e->w, "Split", inner_numbered(e, "part", 0).text);
    fx_onnx_output(e->w, inner_numbered(e, "part", 1).text);
    fx_onnx_output(e->w, inner_numbered(e, "part", 2).text);
    fx_onnx_input(e->w, input(e, 0));
    fx_onnx_int(e->w, "axis", 2);
    fx_onnx_end(e->w);
    for (int i = 0; i < 3; i++) {
        struct name part = inner_numbered(e, "part", i), wide = inner_numbered(e, "wide", i);

        fx_onnx_node2(e->w, "Reshape", wide.text, part.text, shape.text);
        emit_transpose(e, inner_numbered(e, "heads", i).text, wide.text, i == 1 ? columns : rows);
    }
}

static void emit_attention(const struct emission *e)
{
    static const int64_t rows[] = { 0, 2, 1, 3 };
    struct fx_value_shape s = e->node->shape;
    int64_t joined[] = { 0, s.tokens, s.c };
    float scale = 1 / sqrtf((float)(s.c / e->node->heads));
    struct name factor_name = inner(e, "scale"), shape = inner(e, "shape");
    struct name scores = inner(e, "scores"), scaled = inner(e, "scaled");
    struct name weights = inner(e, "weights"), mixed = inner(e, "mixed"), back = inner(e, "back");

    split_heads(e);
    fx_onnx_const_floats(e->w, factor_name.text, 0, NULL, &scale);
    fx_onnx_const_ints(e->w, shape.text, 3, joined);
    fx_onnx_node2(e->w, "MatMul", scores.text, inner_numbered(e, "heads", 0).text,
                  inner_numbered(e, "heads", 1).text);
    fx_onnx_node2(e->w, "Mul", scaled.text, scores.text, factor_name.text);
    emit_softmax(e, weights.text, scaled.text);
    fx_onnx_node2(e->w, "MatMul", mixed.text, weights.text, inner_numbered(e, "heads", 2).text);
    emit_transpose(e, back.text, mixed.text, rows);
    fx_onnx_node2(e->w, "Reshape", e->out, back.text, shape.text);
}

static void emit_token_mean(const struct emission *e)
{
    static const int64_t tokens[] = { 1 };

    fx_onnx_begin(e->w, "ReduceMean", e->out);
    fx_onnx_input(e->w, input(e, 0));
    fx_onnx_ints(e->w, "axes", 1, tokens);
    fx_onnx_int(e->w, "keepdims", 0);
    fx_onnx_end(e->w);
}

static void emit_residual(const struct emission *e)
{
    struct name mean = inner(e, "mean");

    fx_onnx_begin(e->w, "Mean", mean.text);
    for (int i = 1; i < e->node->n_inputs; i++)
        fx_onnx_input(e->w, input(e, i));
    fx_onnx_end(e->w);
    fx_onnx_node2(e->w, "Add", e->out, input(e, 0), mean.text);
}

/* ---- the table ------------------------------------------------------------------------------- */

static void emit_nothing(const struct emission *e)
{
    (void)e;
}

static void (*const emitters[])(const struct emission *) = {
    [FX_NODE_INPUT] = emit_input,
    [FX_NODE_CONV2D] = emit_conv,
    [FX_NODE_BATCHNORM] = emit_batchnorm,
    [FX_NODE_ADD] = emit_add,
    [FX_NODE_CONCAT] = emit_concat,
    [FX_NODE_AVGPOOL2] = emit_avgpool2,
    [FX_NODE_GLOBALPOOL] = emit_globalpool,
    [FX_NODE_DROPOUT] = emit_nothing, /* its value is its input: fx_onnx_name */
    [FX_NODE_LINEAR] = emit_linear,
    [FX_NODE_LAYERNORM] = emit_layernorm,
    [FX_NODE_PRODUCT] = emit_product,
    [FX_NODE_WEIGHTED_SUM] = emit_weighted_sum,
    [FX_NODE_GATED_SUM] = emit_gated_sum,
    [FX_NODE_STACK] = emit_stack,
    [FX_NODE_ATTENTION] = emit_attention,
    [FX_NODE_TOKEN_MEAN] = emit_token_mean,
    [FX_NODE_RESIDUAL] = emit_residual,
};

const char *fx_onnx_name(const struct fx_onnx_writer *w, int node)
{
    while (w->graph->nodes[node].kind == FX_NODE_DROPOUT)
        node = w->graph->nodes[node].inputs[0];
    return w->names[node];
}

enum fx_status fx_onnx_emit(struct fx_onnx_writer *w, int node, struct fx_err *err)
{
    struct emission e = { w, &w->graph->nodes[node], w->names[node] };

    if ((size_t)e.node->kind >= sizeof emitters / sizeof *emitters || !emitters[e.node->kind])
        return fx_fail(err, FX_EFAIL, "ONNX: no form of the operator of %s", e.out);
    emitters[e.node->kind](&e);
    return FX_OK;
}

void fx_onnx_emit_experts(struct fx_onnx_writer *w, const char *output)
{
    struct emission e = { w, NULL, output };
    const char *xs[FX_GRAPH_MAX_EXPERTS];

    for (int k = 0; k < w->graph->n_experts; k++)
        xs[k] = fx_onnx_name(w, w->graph->logits[k]);
    stack(&e, w->graph->n_experts, xs, output);
}
