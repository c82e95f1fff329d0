/* Dense nodes: fusion module, classifiers, head.  They take a thousandth of a step, so they run the
 * plain operators of lib/ops, as ref does; only the matrix products of LINEAR go to oneDNN.  Their
 * values and gradients all stay in memory; gradients are added (+=) to zeros. */
#include "backend/cpu/cpu_internal.h"
#include "backend/ref/node.h"

#include <string.h>

static struct fx_operands operands_of(const struct fx_instr *s, const struct fx_cpu_exec *exec)
{
    const struct fx_lowered *lowered = &exec->program->lowered;
    const struct fx_store *store = &exec->program->model->step.store;
    const struct fx_node *node = fx_instr_node(s, exec);
    struct fx_operands o = { .graph = lowered->graph,
                             .node = node,
                             .n = lowered->n,
                             .mode = lowered->mode,
                             .batch = &exec->program->batch,
                             .y = lowered->nodes[s->node].value.data,
                             .dy = lowered->nodes[s->node].gradient.data };

    for (int i = 0; i < node->n_inputs; i++) {
        o.x[i] = lowered->nodes[node->inputs[i]].value.data;
        o.dx[i] = lowered->nodes[node->inputs[i]].gradient.data;
    }
    for (int i = 0; i < node->n_params; i++) {
        o.w[i] = fx_store_at(store, node->params[i], FX_ROLE_VALUE);
        if (lowered->mode == FX_TRAIN && !fx_graph_is_fixed(lowered->graph, node))
            o.dw[i] = fx_store_at(store, node->params[i], FX_ROLE_GRAD);
    }
    return o;
}

/* ---- LINEAR ---- */

enum { WEIGHT, BIAS }; /* numbers in node->params */

/* Rows, and values of the result. */
static int rows_of(const struct fx_operands *o)
{
    return o->n * o->node->shape.tokens;
}

static size_t values_of(const struct fx_operands *o)
{
    return (size_t)o->n * (size_t)fx_shape_elements(o->node->shape);
}

static enum fx_status linear_forward(const struct fx_operands *o, struct fx_err *err)
{
    int c_out = o->node->shape.c, c_in = o->graph->nodes[o->node->inputs[0]].shape.c;

    for (int i = 0; i < rows_of(o); i++)
        memcpy(o->y + (size_t)i * (size_t)c_out, o->w[BIAS], (size_t)c_out * sizeof(float));
    FX_TRY(fx_dnnl_gemm(&(struct fx_dnnl_gemm){ .trans_b = true,
                                                .m = rows_of(o),
                                                .n = c_out,
                                                .k = c_in,
                                                .a = o->x[0],
                                                .lda = c_in,
                                                .b = o->w[WEIGHT],
                                                .ldb = c_in,
                                                .beta = 1.0f,
                                                .c = o->y,
                                                .ldc = c_out },
                        err));
    for (size_t i = 0; o->node->relu && i < values_of(o); i++)
        o->y[i] = o->y[i] <= 0 ? 0 : o->y[i];
    return FX_OK;
}

/* The gradient before the ReLU, in scratch if there is one. */
static const float *before_relu(const struct fx_operands *o, float *scratch)
{
    if (!o->node->relu)
        return o->dy;
    for (size_t i = 0; i < values_of(o); i++)
        scratch[i] = o->y[i] <= 0 ? 0 : o->dy[i];
    return scratch;
}

/* dx += dz W, dW += dz^T x, db += column sums of dz */
static enum fx_status linear_backward(const struct fx_operands *o, float *scratch,
                                      struct fx_err *err)
{
    int c_out = o->node->shape.c, c_in = o->graph->nodes[o->node->inputs[0]].shape.c;
    const float *dz = before_relu(o, scratch);
    struct fx_dnnl_gemm data = { .m = rows_of(o),
                                 .n = c_in,
                                 .k = c_out,
                                 .a = dz,
                                 .lda = c_out,
                                 .b = o->w[WEIGHT],
                                 .ldb = c_in,
                                 .beta = 1.0f,
                                 .c = o->dx[0],
                                 .ldc = c_in };
    struct fx_dnnl_gemm weights = { .trans_a = true,
                                    .m = c_out,
                                    .n = c_in,
                                    .k = rows_of(o),
                                    .a = dz,
                                    .lda = c_out,
                                    .b = o->x[0],
                                    .ldb = c_in,
                                    .beta = 1.0f,
                                    .c = o->dw[WEIGHT],
                                    .ldc = c_in };

    if (o->dx[0])
        FX_TRY(fx_dnnl_gemm(&data, err));
    if (!o->dw[WEIGHT])
        return FX_OK;
    FX_TRY(fx_dnnl_gemm(&weights, err));
    for (int c = 0; c < c_out; c++) {
        double sum = 0;

        for (int i = 0; i < rows_of(o); i++)
            sum += (double)dz[(size_t)i * (size_t)c_out + (size_t)c];
        o->dw[BIAS][c] += (float)sum;
    }
    return FX_OK;
}

/* ---- instructions ---- */

enum fx_status fx_cpu_dense(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                            struct fx_err *err)
{
    struct fx_operands o = operands_of(s, exec);

    if (o.node->kind == FX_NODE_LINEAR)
        return linear_forward(&o, err);
    fx_node_forward(&o);
    return FX_OK;
}

enum fx_status fx_cpu_dense_back(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                                 struct fx_err *err)
{
    struct fx_operands o = operands_of(s, exec);

    if (o.node->kind == FX_NODE_LINEAR)
        return linear_backward(&o, exec->workspace, err);
    fx_node_backward(&o);
    return FX_OK;
}

/* The scratch of linear_backward. */
void fx_cpu_dense_workspace(void *ctx, int node, bool is_backward)
{
    struct fx_program *program = ctx;
    const struct fx_node *n = &program->lowered.graph->nodes[node];
    size_t bytes = (size_t)program->lowered.n * (size_t)fx_shape_elements(n->shape) * sizeof(float);

    if (is_backward && bytes > program->workspace_bytes)
        program->workspace_bytes = bytes;
}
