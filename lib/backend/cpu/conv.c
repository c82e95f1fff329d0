/* CONV2D: each direction by our own kernels where they suit the layer, else by oneDNN: in bf16 on a
 * processor with tiles of matrices shifted products (shift.c), otherwise Winograd (winograd.c), and
 * in f32 matrix products (im2col.c).  bench/layers prints the rates. */
#include "backend/cpu/cpu_internal.h"

#include <omp.h>

static struct fx_conv_shape shape_of(const struct fx_program *program, int node,
                                     const struct fx_view *x, const struct fx_view *y)
{
    const struct fx_node *n = &program->lowered.graph->nodes[node];
    const struct fx_device *device = program->model->device;
    struct fx_weight_layout layout = fx_weight_layout_of(n, x->c, device->loops->block);

    return (struct fx_conv_shape){
        .n = program->lowered.n,
        .block = layout.block,
        .groups = layout.merged,
        .c_in = layout.merged * layout.in,
        .c_out = layout.merged * layout.out,
        .h_in = x->area / x->w,
        .w_in = x->w,
        .h_out = y->area / y->w,
        .w_out = y->w,
        .kernel = n->kernel,
        .stride = n->stride,
        .pad = n->pad,
        .bf16 = device->bf16,
        .x_image = x->image_bytes / device->loops->value_bytes,
    };
}

bool fx_conv_norms(const struct fx_device *device, const struct fx_conv_shape *shape)
{
    return !(device->shift && fx_shift_suits(shape)) &&
           (fx_winograd_suits(shape) || fx_im2col_suits(shape, FX_CONV_FORWARD));
}

bool fx_cpu_conv_norms(void *ctx, int node)
{
    const struct fx_program *program = ctx;
    const struct fx_node *n = &program->lowered.graph->nodes[node];
    struct fx_value_shape in = program->lowered.graph->nodes[n->inputs[0]].shape;
    struct fx_view x = { .c = in.c, .area = in.h * in.w, .w = in.w };
    struct fx_view y = { .area = n->shape.h * n->shape.w, .w = n->shape.w };
    struct fx_conv_shape shape = shape_of(program, node, &x, &y);

    return fx_conv_norms(program->model->device, &shape);
}

enum fx_status fx_conv_code_compile(struct fx_conv_code *code, const struct fx_device *device,
                                    const struct fx_conv_shape *shape,
                                    enum fx_conv_direction direction, struct fx_err *err)
{
    int threads = omp_get_max_threads();

    if (device->shift && fx_shift_suits(shape)) {
        code->way = FX_CONV_SHIFT;
        fx_shift_plan(&code->shift, device->shift, shape, direction, threads);
        code->workspace = fx_shift_workspace(&code->shift);
        return FX_OK;
    }
    if (fx_winograd_suits(shape)) {
        code->way = FX_CONV_WINOGRAD;
        fx_winograd_plan(&code->winograd, device->winograd, shape, direction, threads);
        code->workspace = fx_winograd_workspace(&code->winograd);
        return FX_OK;
    }
    if (fx_im2col_suits(shape, direction)) {
        code->way = FX_CONV_IM2COL;
        fx_im2col_plan(&code->im2col, device->im2col, shape, direction, threads);
        code->workspace = fx_im2col_workspace(&code->im2col);
        return FX_OK;
    }
    code->way = FX_CONV_DNNL;
    FX_TRY(fx_dnnl_conv_create(&code->dnnl, device->dnnl, shape, direction, false, err));
    code->workspace = fx_dnnl_conv_workspace(code->dnnl);
    return FX_OK;
}

void fx_conv_code_fini(struct fx_conv_code *code)
{
    if (code->way == FX_CONV_DNNL)
        fx_dnnl_conv_destroy(code->dnnl);
}

enum fx_status fx_conv_code_run(const struct fx_conv_code *code, struct fx_dnnl_stream *stream,
                                const struct fx_conv_norm *norm, void *x, float *weights, void *y,
                                void *workspace, struct fx_err *err)
{
    switch (code->way) {
    case FX_CONV_WINOGRAD:
        fx_winograd_run(&code->winograd, norm, x, weights, y, workspace);
        return FX_OK;
    case FX_CONV_IM2COL:
        fx_im2col_run(&code->im2col, norm, x, weights, y, workspace);
        return FX_OK;
    case FX_CONV_SHIFT:
        fx_shift_run(&code->shift, x, weights, y, workspace);
        return FX_OK;
    case FX_CONV_DNNL:
        break;
    }
    return fx_dnnl_conv_run(code->dnnl, stream, x, weights, y, workspace, err);
}

/* Behind the workspace of a direction: the coefficients of a norm of its input. */
static size_t norm_bytes(const struct fx_conv_op *op)
{
    return fx_arena_round(2 * (size_t)(op->layout.merged * op->layout.in) * sizeof(float));
}

static float *behind_workspace(const struct fx_conv_op *op, enum fx_conv_direction direction,
                               const struct fx_cpu_exec *exec)
{
    return (float *)exec->workspace +
           fx_arena_round(op->directions[direction].workspace) / sizeof(float);
}

/* Compiles, and sees to the workspace. */
enum fx_status fx_cpu_conv_compile(void *ctx, int node, enum fx_conv_direction direction,
                                   const struct fx_view *x, const struct fx_view *y,
                                   struct fx_err *err)
{
    struct fx_program *program = ctx;
    const struct fx_graph *graph = program->lowered.graph;
    const struct fx_device *device = program->model->device;
    struct fx_conv_op *op = &program->convs[node];
    struct fx_conv_code *code = &op->directions[direction];
    struct fx_conv_shape shape;
    size_t bytes;

    op->layout = fx_weight_layout_of(&graph->nodes[node], x->c, device->loops->block);
    op->param = graph->nodes[node].params[0];
    shape = shape_of(program, node, x, y);
    if (fx_conv_code_compile(code, device, &shape, direction, err) != FX_OK)
        return fx_err_prepend(err, "%s: ", graph->params[op->param].name);
    bytes = fx_arena_round(code->workspace) + norm_bytes(op);
    if (direction == FX_CONV_WEIGHTS) /* room for what is added when gradients accumulate */
        bytes += fx_weight_floats(&op->layout) * sizeof(float);
    if (bytes > program->workspace_bytes)
        program->workspace_bytes = bytes;
    return FX_OK;
}

/* x and y are the views of the node's input and result, or of their gradients. */
static enum fx_status run_direction(const struct fx_instr *s, enum fx_conv_direction direction,
                                    const struct fx_view *x, float *weights,
                                    const struct fx_view *y, const struct fx_cpu_exec *exec,
                                    struct fx_err *err)
{
    const struct fx_conv_op *op = &exec->program->convs[s->node];
    struct fx_conv_norm norm = { 0 };

    if (s->norm > 0)
        norm = fx_cpu_norm_for_conv(s->norm, exec, behind_workspace(op, direction, exec));
    return fx_conv_code_run(&op->directions[direction], exec->stream, &norm, x->data, weights,
                            y->data, exec->workspace, err);
}

static float *weights_of(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                         enum fx_tensor_role role)
{
    const struct fx_program *program = exec->program;

    return fx_store_at(&program->model->step.store, program->convs[s->node].param, role);
}

enum fx_status fx_cpu_conv_forward(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                                   struct fx_err *err)
{
    return run_direction(s, FX_CONV_FORWARD, &s->operands[0], weights_of(s, exec, FX_ROLE_VALUE),
                         &s->operands[1], exec, err);
}

enum fx_status fx_cpu_conv_data(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                                struct fx_err *err)
{
    return run_direction(s, FX_CONV_DATA, &s->operands[1], weights_of(s, exec, FX_ROLE_VALUE),
                         &s->operands[0], exec, err);
}

enum fx_status fx_cpu_conv_weights(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                                   struct fx_err *err)
{
    const struct fx_conv_op *op = &exec->program->convs[s->node];
    float *grad = weights_of(s, exec, FX_ROLE_GRAD), *to = grad;

    if (exec->accumulate)
        to = behind_workspace(op, FX_CONV_WEIGHTS, exec) + norm_bytes(op) / sizeof(float);
    FX_TRY(run_direction(s, FX_CONV_WEIGHTS, &s->operands[0], to, &s->operands[1], exec, err));
    fx_weight_clear_rest(&op->layout, to);
    if (exec->accumulate)
        for (size_t i = 0; i < fx_weight_floats(&op->layout); i++)
            grad[i] += to[i];
    return FX_OK;
}
