/* The nodes on vectors: fusion module, classifiers, head.  They are small, so they run the
 * reference kernels; only the matrix products go to oneDNN.  Their values and gradients all stay in
 * memory; gradients are added (+=) to zeros. */
#include "backend/cpu/cpu_run.h"
#include "backend/ref/attention.h"
#include "backend/ref/dropout.h"
#include "backend/ref/fuse.h"
#include "backend/ref/join.h"
#include "backend/ref/layernorm.h"

#include <string.h>

/* A node with the addresses of everything it touches. */
struct vector_node {
    const struct fx_node *node;
    const struct fx_program *program;
    int n, rows;     /* images; images times tokens */
    size_t n_values; /* of the result */
    const float *x[FX_NODE_MAX_INPUTS];
    float *dx[FX_NODE_MAX_INPUTS]; /* NULL: not wanted */
    float *y, *dy;
    float *params[FX_NODE_MAX_PARAMS], *grads[FX_NODE_MAX_PARAMS];
    float *scratch;
};

static struct vector_node vector_node_of(const struct fx_step *s, const struct fx_run *run)
{
    const struct fx_program *program = run->program;
    const struct fx_store *store = &program->model->store;
    const struct fx_node *node = fx_step_node(s, run);
    struct vector_node v = {
        .node = node,
        .program = program,
        .n = program->lowered.n,
        .rows = program->lowered.n * node->shape.tokens,
        .n_values = (size_t)program->lowered.n * (size_t)fx_shape_elements(node->shape),
        .y = program->lowered.nodes[s->node].value.data,
        .dy = program->lowered.nodes[s->node].gradient.data,
        .scratch = run->workspace,
    };

    for (int i = 0; i < node->n_inputs; i++) {
        v.x[i] = program->lowered.nodes[node->inputs[i]].value.data;
        v.dx[i] = program->lowered.nodes[node->inputs[i]].gradient.data;
    }
    for (int i = 0; i < node->n_params; i++) {
        v.params[i] = fx_store_at(store, node->params[i], FX_ROLE_VALUE);
        if (program->lowered.mode == FX_TRAIN)
            v.grads[i] = fx_store_at(store, node->params[i], FX_ROLE_GRAD);
    }
    return v;
}

/* ---- LINEAR ---- */

enum { LINEAR_WEIGHT, LINEAR_BIAS };

static enum fx_status linear(const struct vector_node *v, struct fx_err *err)
{
    int c_out = v->node->shape.c;
    int c_in = v->program->lowered.graph->nodes[v->node->inputs[0]].shape.c;

    for (int i = 0; i < v->rows; i++)
        memcpy(v->y + (size_t)i * (size_t)c_out, v->params[LINEAR_BIAS],
               (size_t)c_out * sizeof(float));
    FX_TRY(fx_dnnl_gemm(&(struct fx_dnnl_gemm){ .trans_b = true,
                                                .m = v->rows,
                                                .n = c_out,
                                                .k = c_in,
                                                .a = v->x[0],
                                                .lda = c_in,
                                                .b = v->params[LINEAR_WEIGHT],
                                                .ldb = c_in,
                                                .beta = 1.0f,
                                                .c = v->y,
                                                .ldc = c_out },
                        err));
    for (size_t i = 0; v->node->relu && i < v->n_values; i++)
        v->y[i] = v->y[i] <= 0 ? 0 : v->y[i];
    return FX_OK;
}

/* The gradient before the ReLU. */
static const float *before_relu(const struct vector_node *v)
{
    if (!v->node->relu)
        return v->dy;
    for (size_t i = 0; i < v->n_values; i++)
        v->scratch[i] = v->y[i] <= 0 ? 0 : v->dy[i];
    return v->scratch;
}

/* dx += dz W, dW += dz^T x, db += column sums of dz */
static enum fx_status linear_back(const struct vector_node *v, struct fx_err *err)
{
    int c_out = v->node->shape.c;
    int c_in = v->program->lowered.graph->nodes[v->node->inputs[0]].shape.c;
    const float *dz = before_relu(v);
    struct fx_dnnl_gemm data = { .m = v->rows,
                                 .n = c_in,
                                 .k = c_out,
                                 .a = dz,
                                 .lda = c_out,
                                 .b = v->params[LINEAR_WEIGHT],
                                 .ldb = c_in,
                                 .beta = 1.0f,
                                 .c = v->dx[0],
                                 .ldc = c_in };
    struct fx_dnnl_gemm weights = { .trans_a = true,
                                    .m = c_out,
                                    .n = c_in,
                                    .k = v->rows,
                                    .a = dz,
                                    .lda = c_out,
                                    .b = v->x[0],
                                    .ldb = c_in,
                                    .beta = 1.0f,
                                    .c = v->grads[LINEAR_WEIGHT],
                                    .ldc = c_in };

    if (v->dx[0])
        FX_TRY(fx_dnnl_gemm(&data, err));
    FX_TRY(fx_dnnl_gemm(&weights, err));
    for (int o = 0; o < c_out; o++) {
        double sum = 0;

        for (int i = 0; i < v->rows; i++)
            sum += (double)dz[(size_t)i * (size_t)c_out + (size_t)o];
        v->grads[LINEAR_BIAS][o] += (float)sum;
    }
    return FX_OK;
}

/* ---- the others: calls of the reference kernels ---- */

static struct fx_layernorm layernorm_of(const struct vector_node *v)
{
    return (struct fx_layernorm){ .rows = v->rows, .c = v->node->shape.c, .eps = v->node->eps };
}

/* In evaluation, and at p = 0, there is no dropout: *d is not used. */
static struct fx_attention attention_of(const struct vector_node *v, struct fx_dropout *d)
{
    const struct fx_batch *batch = &v->program->batch;
    struct fx_attention k = { .n = v->n,
                              .tokens = v->node->shape.tokens,
                              .c = v->node->shape.c,
                              .heads = v->node->heads,
                              .images = batch->numbers };

    *d = fx_dropout_of(v->node, batch->seed, batch->epoch);
    if (v->program->lowered.mode == FX_TRAIN && v->node->p > 0)
        k.dropout = d;
    return k;
}

/* Channels of input j of a CONCAT of vectors. */
static size_t width_of(const struct vector_node *v, int j)
{
    return (size_t)v->program->lowered.graph->nodes[v->node->inputs[j]].shape.c;
}

static int tokens_in(const struct vector_node *v)
{
    return v->program->lowered.graph->nodes[v->node->inputs[0]].shape.tokens;
}

static void concat(const struct vector_node *v)
{
    size_t offset = 0;

    for (int j = 0; j < v->node->n_inputs; j++) {
        fx_ref_concat((size_t)v->rows, width_of(v, j), (size_t)v->node->shape.c, offset, v->x[j],
                      v->y);
        offset += width_of(v, j);
    }
}

static void concat_back(const struct vector_node *v)
{
    size_t offset = 0;

    for (int j = 0; j < v->node->n_inputs; j++) {
        if (v->dx[j])
            fx_ref_concat_backward((size_t)v->rows, width_of(v, j), (size_t)v->node->shape.c,
                                   offset, v->dy, v->dx[j]);
        offset += width_of(v, j);
    }
}

enum fx_status fx_cpu_vector(const struct fx_step *s, const struct fx_run *run, struct fx_err *err)
{
    struct vector_node v = vector_node_of(s, run);
    const struct fx_batch *batch = &v.program->batch;
    int n_inputs = v.node->n_inputs;
    struct fx_layernorm norm;
    struct fx_attention attention;
    struct fx_dropout d;

    switch (v.node->kind) {
    case FX_NODE_LINEAR:
        return linear(&v, err);
    case FX_NODE_LAYERNORM:
        norm = layernorm_of(&v);
        fx_ref_layernorm(&norm, v.x[0], v.params[0], v.params[1], v.y);
        return FX_OK;
    case FX_NODE_PRODUCT:
        fx_ref_product(n_inputs, v.n_values, v.x, v.node->shift, v.y);
        return FX_OK;
    case FX_NODE_WEIGHTED_SUM:
        fx_ref_weighted_sum(n_inputs, v.n_values, v.x, v.params[0], v.y);
        return FX_OK;
    case FX_NODE_STACK:
        fx_ref_stack(n_inputs, v.n, v.node->shape.c, v.x, v.y);
        return FX_OK;
    case FX_NODE_ATTENTION:
        attention = attention_of(&v, &d);
        fx_ref_attention(&attention, v.x[0], v.y);
        return FX_OK;
    case FX_NODE_TOKEN_MEAN:
        fx_ref_token_mean(v.n, tokens_in(&v), v.node->shape.c, v.x[0], v.y);
        return FX_OK;
    case FX_NODE_ADD:
        fx_ref_add(v.n_values, v.x[0], v.x[1], v.node->relu, v.y);
        return FX_OK;
    case FX_NODE_CONCAT:
        concat(&v);
        return FX_OK;
    case FX_NODE_DROPOUT:
        d = fx_dropout_of(v.node, batch->seed, batch->epoch);
        fx_ref_dropout(&d, v.n, v.node->shape, batch->numbers, v.x[0], v.y);
        return FX_OK;
    default:
        return fx_fail(err, FX_EUSAGE, "node %d: not possible on a vector", s->node);
    }
}

enum fx_status fx_cpu_vector_back(const struct fx_step *s, const struct fx_run *run,
                                  struct fx_err *err)
{
    struct vector_node v = vector_node_of(s, run);
    const struct fx_batch *batch = &v.program->batch;
    int n_inputs = v.node->n_inputs;
    struct fx_layernorm norm;
    struct fx_attention attention;
    struct fx_dropout d;

    switch (v.node->kind) {
    case FX_NODE_LINEAR:
        return linear_back(&v, err);
    case FX_NODE_LAYERNORM:
        norm = layernorm_of(&v);
        fx_ref_layernorm_backward(&norm, v.x[0], v.dy, v.params[0], v.dx[0], v.grads[0],
                                  v.grads[1]);
        return FX_OK;
    case FX_NODE_PRODUCT:
        fx_ref_product_backward(n_inputs, v.n_values, v.x, v.node->shift, v.dy, v.dx);
        return FX_OK;
    case FX_NODE_WEIGHTED_SUM:
        fx_ref_weighted_sum_backward(n_inputs, v.n_values, v.x, v.params[0], v.dy, v.dx,
                                     v.grads[0]);
        return FX_OK;
    case FX_NODE_STACK:
        fx_ref_stack_backward(n_inputs, v.n, v.node->shape.c, v.dy, v.dx);
        return FX_OK;
    case FX_NODE_ATTENTION:
        attention = attention_of(&v, &d);
        fx_ref_attention_backward(&attention, v.x[0], v.dy, v.dx[0]);
        return FX_OK;
    case FX_NODE_TOKEN_MEAN:
        fx_ref_token_mean_backward(v.n, tokens_in(&v), v.node->shape.c, v.dy, v.dx[0]);
        return FX_OK;
    case FX_NODE_ADD:
        for (int j = 0; j < n_inputs; j++)
            if (v.dx[j])
                fx_ref_add_backward(v.n_values, v.y, v.dy, v.node->relu, v.dx[j]);
        return FX_OK;
    case FX_NODE_CONCAT:
        concat_back(&v);
        return FX_OK;
    case FX_NODE_DROPOUT:
        d = fx_dropout_of(v.node, batch->seed, batch->epoch);
        fx_ref_dropout_backward(&d, v.n, v.node->shape, batch->numbers, v.dy, v.dx[0]);
        return FX_OK;
    default:
        return fx_fail(err, FX_EUSAGE, "node %d: not possible on a vector", s->node);
    }
}

/* linear_back's gradient before the ReLU. */
void fx_cpu_vector_workspace(void *ctx, int node, bool is_backward)
{
    struct fx_program *program = ctx;
    const struct fx_node *n = &program->lowered.graph->nodes[node];
    size_t bytes = (size_t)program->lowered.n * (size_t)fx_shape_elements(n->shape) * sizeof(float);

    if (is_backward && bytes > program->workspace_bytes)
        program->workspace_bytes = bytes;
}
