/* Dense nodes: fusion module, classifiers, head.  f32 throughout.  The classifiers of
 * equal lanes run together; the nodes that join lanes belong to the head. */
#include "backend/cuda/cuda_internal.h"

enum { WEIGHT, BIAS }; /* numbers in node->params, of LINEAR and LAYERNORM */

static const struct fx_node *node_of(const struct fx_cuda_exec *exec, int node)
{
    return &exec->program->model->graph->nodes[node];
}

/* Rows of a node's value: images times tokens. */
static int rows_of(const struct fx_cuda_exec *exec, const struct fx_node *node)
{
    return exec->program->lowered.n * node->shape.tokens;
}

static size_t values_of(const struct fx_cuda_exec *exec, const struct fx_node *node)
{
    return (size_t)exec->program->lowered.n * (size_t)fx_shape_elements(node->shape);
}

/* The inputs of a node that joins several values; adds NULL: forward only. */
static struct fx_k_inputs inputs_of(const struct fx_cuda_exec *exec, const struct fx_node *node,
                                    const bool *adds)
{
    struct fx_k_inputs in = { .n = node->n_inputs };

    for (int i = 0; i < node->n_inputs; i++) {
        in.x[i] = fx_cuda_dense(exec, node->inputs[i], false).data;
        in.c[i] = node_of(exec, node->inputs[i])->shape.c;
        if (adds)
            in.dx[i] = fx_cuda_dense_grad(exec, node->inputs[i], adds[i]);
    }
    return in;
}

static struct fx_k_attention_shape attention_of(const struct fx_cuda_exec *exec, int node)
{
    const struct fx_node *n = node_of(exec, node);

    return (struct fx_k_attention_shape){ .n = exec->program->lowered.n,
                                          .tokens = n->shape.tokens,
                                          .c = n->shape.c,
                                          .heads = n->heads,
                                          .drop = fx_cuda_drop(exec, node) };
}

/* ---- LINEAR ---- */

/* The product of a LINEAR node over all lanes; with a ReLU, dz takes the place of dy. */
static struct fx_gemm_shape linear_product(const struct fx_cuda_exec *exec,
                                           const struct fx_node *node,
                                           enum fx_conv_direction direction)
{
    int c_in = node_of(exec, node->inputs[0])->shape.c, c_out = node->shape.c;
    int self = (int)(node - exec->program->model->graph->nodes), rows = rows_of(exec, node);
    struct fx_gemm_matrix x = { c_in, fx_cuda_dense(exec, node->inputs[0], false).lane };
    struct fx_gemm_matrix y = { c_out, fx_cuda_dense(exec, self, false).lane };

    if (direction != FX_CONV_FORWARD && node->relu)
        y.lane = (size_t)rows * (size_t)c_out; /* dz lies in the workspace */
    return fx_cuda_layer_product(exec, direction, rows, c_in, c_out, x, y);
}

/* Where the products' workspace begins: behind dz, if there is one. */
static size_t dz_bytes(const struct fx_cuda_exec *exec, const struct fx_node *node)
{
    size_t n = values_of(exec, node) * (size_t)exec->launch.n_lanes;

    return node->relu ? fx_device_round(n * sizeof(float)) : 0;
}

static enum fx_status linear(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                             const struct fx_compiled *compiled, struct fx_err *err)
{
    const struct fx_node *node = node_of(exec, s->node);
    struct fx_k_array y = fx_cuda_dense(exec, s->node, false);

    FX_TRY(fx_gemm_run(compiled->product, exec->launch.stream,
                       fx_cuda_dense(exec, node->inputs[0], false).data,
                       fx_cuda_param(exec, node->params[WEIGHT], FX_ROLE_VALUE).data, y.data,
                       fx_cuda_workspace(exec, 0), err));
    FX_CUDA(fx_k_bias_act(&exec->launch, y, rows_of(exec, node), node->shape.c,
                          fx_cuda_param(exec, node->params[BIAS], FX_ROLE_VALUE), node->relu));
    return FX_OK;
}

static enum fx_status linear_back(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                  const struct fx_compiled *compiled, struct fx_err *err)
{
    const struct fx_node *node = node_of(exec, s->node);
    struct fx_k_array dz = fx_cuda_dense(exec, s->node, true), no_dz = { 0 };
    struct fx_k_array dy = dz;
    void *workspace = fx_cuda_workspace(exec, dz_bytes(exec, node));

    if (node->relu)
        dz = (struct fx_k_array){ fx_cuda_workspace(exec, 0), values_of(exec, node) };
    FX_CUDA(fx_k_bias_act_back(
        &exec->launch, fx_cuda_dense(exec, s->node, false), dy, rows_of(exec, node), node->shape.c,
        node->relu, node->relu ? dz : no_dz, fx_cuda_param_grad(exec, node->params[BIAS])));
    if (compiled->product)
        FX_TRY(fx_gemm_run(compiled->product, exec->launch.stream, dz.data,
                           fx_cuda_param(exec, node->params[WEIGHT], FX_ROLE_VALUE).data,
                           fx_cuda_dense(exec, node->inputs[0], true).data, workspace, err));
    if (fx_graph_is_fixed(exec->program->model->graph, node))
        return FX_OK;
    return fx_gemm_run(compiled->weights[exec->accumulate], exec->launch.stream, dz.data,
                       fx_cuda_dense(exec, node->inputs[0], false).data,
                       fx_cuda_param(exec, node->params[WEIGHT], FX_ROLE_GRAD).data, workspace,
                       err);
}

static enum fx_status plan_product(const struct fx_cuda_exec *exec, struct fx_gemm_plan **plan,
                                   struct fx_gemm_shape shape, bool add, size_t *workspace,
                                   struct fx_err *err)
{
    size_t bytes;

    shape.add = add;
    FX_TRY(fx_gemm_plan_create(plan, exec->program->model->device->gemm, &shape, err));
    bytes = fx_gemm_plan_workspace(*plan);
    if (bytes > *workspace)
        *workspace = bytes;
    return FX_OK;
}

static enum fx_status compile_linear_back(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                          struct fx_compiled *compiled, size_t *workspace,
                                          struct fx_err *err)
{
    const struct fx_node *node = node_of(exec, s->node);
    struct fx_gemm_shape data = linear_product(exec, node, FX_CONV_DATA);
    struct fx_gemm_shape weights = linear_product(exec, node, FX_CONV_WEIGHTS);

    if (exec->program->lowered.nodes[node->inputs[0]].gradient.buffer >= 0)
        FX_TRY(plan_product(exec, &compiled->product, data, s->adds[0], workspace, err));
    for (int add = 0; add < 2 && !fx_graph_is_fixed(exec->program->model->graph, node); add++)
        FX_TRY(plan_product(exec, &compiled->weights[add], weights, add, workspace, err));
    *workspace += dz_bytes(exec, node);
    return FX_OK;
}

/* ---- all kinds ---- */

static enum fx_status compile_forward(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                      struct fx_compiled *compiled, size_t *workspace,
                                      struct fx_err *err)
{
    const struct fx_node *node = node_of(exec, s->node);

    if (node->kind != FX_NODE_LINEAR)
        return FX_OK;
    return plan_product(exec, &compiled->product, linear_product(exec, node, FX_CONV_FORWARD),
                        false, workspace, err);
}

static enum fx_status compile_backward(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                       struct fx_compiled *compiled, size_t *workspace,
                                       struct fx_err *err)
{
    const struct fx_node *node = node_of(exec, s->node);

    if (node->kind == FX_NODE_WEIGHTED_SUM)
        *workspace = fx_k_weighted_sum_scratch(values_of(exec, node));
    return node->kind == FX_NODE_LINEAR ? compile_linear_back(exec, s, compiled, workspace, err)
                                        : FX_OK;
}

static enum fx_status launch_forward(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                     const struct fx_compiled *compiled, struct fx_err *err)
{
    const struct fx_node *node = node_of(exec, s->node);
    struct fx_k_inputs in = inputs_of(exec, node, NULL);
    struct fx_k_array x = fx_cuda_dense(exec, node->inputs[0], false);
    struct fx_k_array y = fx_cuda_dense(exec, s->node, false);
    cudaStream_t stream = exec->launch.stream;
    int n = exec->program->lowered.n, rows = rows_of(exec, node), c = node->shape.c;
    size_t n_values = values_of(exec, node);
    struct fx_k_attention_shape attention;
    struct fx_k_drop drop;

    switch (node->kind) {
    case FX_NODE_LINEAR:
        return linear(exec, s, compiled, err);
    case FX_NODE_LAYERNORM:
        FX_CUDA(fx_k_layernorm(&exec->launch, x, rows, c, node->eps,
                               fx_cuda_param(exec, node->params[WEIGHT], FX_ROLE_VALUE),
                               fx_cuda_param(exec, node->params[BIAS], FX_ROLE_VALUE), y));
        return FX_OK;
    case FX_NODE_PRODUCT:
        FX_CUDA(fx_k_product(stream, &in, node->shift, y.data, n_values));
        return FX_OK;
    case FX_NODE_WEIGHTED_SUM:
        FX_CUDA(fx_k_weighted_sum(stream, &in,
                                  fx_cuda_param(exec, node->params[0], FX_ROLE_VALUE).data, y.data,
                                  n_values));
        return FX_OK;
    case FX_NODE_GATED_SUM:
        FX_CUDA(fx_k_gated_sum(stream, &in, rows, c, y.data));
        return FX_OK;
    case FX_NODE_STACK:
        FX_CUDA(fx_k_stack(stream, &in, n, c, y.data));
        return FX_OK;
    case FX_NODE_ATTENTION:
        attention = attention_of(exec, s->node);
        FX_CUDA(fx_k_attention(stream, &attention, x.data, y.data));
        return FX_OK;
    case FX_NODE_TOKEN_MEAN:
        FX_CUDA(fx_k_token_mean(stream, x.data, n, node_of(exec, node->inputs[0])->shape.tokens, c,
                                y.data));
        return FX_OK;
    case FX_NODE_RESIDUAL:
        FX_CUDA(fx_k_residual(stream, &in, y.data, n_values));
        return FX_OK;
    case FX_NODE_ADD:
        FX_CUDA(fx_k_add_vectors(stream, in.x[0], in.x[1], y.data, n_values, node->relu));
        return FX_OK;
    case FX_NODE_CONCAT:
        FX_CUDA(fx_k_concat(stream, &in, rows, y.data));
        return FX_OK;
    case FX_NODE_DROPOUT:
        drop = fx_cuda_drop(exec, s->node);
        FX_CUDA(fx_k_drop_vector(&exec->launch, x, y, n, &drop));
        return FX_OK;
    default:
        return fx_fail(err, FX_EUSAGE, "node %d: not possible on dense rows", s->node);
    }
}

static enum fx_status layernorm_back(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                     struct fx_k_grad dx, struct fx_err *err)
{
    const struct fx_node *node = node_of(exec, s->node);

    FX_CUDA(fx_k_layernorm_back(&exec->launch, fx_cuda_dense(exec, node->inputs[0], false),
                                fx_cuda_dense(exec, s->node, true), rows_of(exec, node),
                                node->shape.c, node->eps,
                                fx_cuda_param(exec, node->params[WEIGHT], FX_ROLE_VALUE), dx,
                                fx_cuda_param_grad(exec, node->params[WEIGHT]),
                                fx_cuda_param_grad(exec, node->params[BIAS])));
    return FX_OK;
}

static enum fx_status launch_backward(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                      const struct fx_compiled *compiled, struct fx_err *err)
{
    const struct fx_node *node = node_of(exec, s->node);
    struct fx_k_inputs in = inputs_of(exec, node, s->adds);
    struct fx_k_array dy = fx_cuda_dense(exec, s->node, true);
    cudaStream_t stream = exec->launch.stream;
    int n = exec->program->lowered.n, rows = rows_of(exec, node), c = node->shape.c;
    size_t n_values = values_of(exec, node);
    struct fx_k_attention_shape attention;
    struct fx_k_drop drop;

    switch (node->kind) {
    case FX_NODE_LINEAR:
        return linear_back(exec, s, compiled, err);
    case FX_NODE_LAYERNORM:
        return layernorm_back(exec, s, in.dx[0], err);
    case FX_NODE_PRODUCT:
        FX_CUDA(fx_k_product_back(stream, &in, node->shift, dy.data, n_values));
        return FX_OK;
    case FX_NODE_WEIGHTED_SUM:
        FX_CUDA(fx_k_weighted_sum_back(
            stream, &in, fx_cuda_param(exec, node->params[0], FX_ROLE_VALUE).data, dy.data,
            n_values, fx_cuda_param_grad(exec, node->params[0]), fx_cuda_workspace(exec, 0)));
        return FX_OK;
    case FX_NODE_GATED_SUM:
        FX_CUDA(fx_k_gated_sum_back(stream, &in, rows, c, dy.data));
        return FX_OK;
    case FX_NODE_STACK:
        FX_CUDA(fx_k_stack_back(stream, &in, n, c, dy.data));
        return FX_OK;
    case FX_NODE_ATTENTION:
        attention = attention_of(exec, s->node);
        FX_CUDA(fx_k_attention_back(stream, &attention, in.x[0], dy.data, in.dx[0]));
        return FX_OK;
    case FX_NODE_TOKEN_MEAN:
        FX_CUDA(fx_k_token_mean_back(stream, dy.data, n,
                                     node_of(exec, node->inputs[0])->shape.tokens, c, in.dx[0]));
        return FX_OK;
    case FX_NODE_RESIDUAL:
        FX_CUDA(fx_k_residual_back(stream, &in, dy.data, n_values));
        return FX_OK;
    case FX_NODE_ADD:
        FX_CUDA(fx_k_add_vectors_back(stream, &in, fx_cuda_dense(exec, s->node, false).data,
                                      dy.data, n_values, node->relu));
        return FX_OK;
    case FX_NODE_CONCAT:
        FX_CUDA(fx_k_concat_back(stream, &in, rows, dy.data));
        return FX_OK;
    case FX_NODE_DROPOUT:
        drop = fx_cuda_drop(exec, s->node);
        FX_CUDA(fx_k_drop_vector_back(&exec->launch, dy, in.dx[0], n, &drop));
        return FX_OK;
    default:
        return fx_fail(err, FX_EUSAGE, "node %d: not possible on dense rows", s->node);
    }
}

const struct fx_cuda_operator fx_cuda_dense_forward = { compile_forward, launch_forward };
const struct fx_cuda_operator fx_cuda_dense_backward = { compile_backward, launch_backward };
