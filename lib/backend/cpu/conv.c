/* CONV2D: oneDNN primitives, one for each direction.
 *
 * f32 3x3 layers of stride 1 ask for Winograd F(4x4, 3x3).  Measured on one Zen 4 core, GFLOP/s of
 * the direct algorithm (forward, data, weights: 119 118 97 at 160 channels, 32x32) against Winograd
 * (328 325 282).  What decides is the number of 4x4 tiles in the batch, over which the transform of
 * the weights is spread, whatever the channels: direct / Winograd time at 8, 16, 32 tiles is 0.6,
 * 0.9, 1.4 forward and data, 0.8 to 1.7, 1.3 to 2.3, 1.8 to 4 for weights.
 *
 * oneDNN has no Winograd for grouped convolutions, so where their neighbours can read and write
 * group-major maps, the groups run one after the other as dense convolutions: 272 270 199 instead
 * of 116 115 92 for 8 groups of 64 channels, 32x32, 8 images. */
#include "backend/cpu/cpu_internal.h"

enum { TILE = 4, MIN_TILES = 24, MIN_TILES_WEIGHTS = 12 };

static bool wants_winograd(const struct fx_dnnl_conv_shape *s, enum fx_conv_direction direction)
{
    int tiles = s->n * ((s->h_out + TILE - 1) / TILE) * ((s->w_out + TILE - 1) / TILE);

    if (s->bf16 || s->kernel != 3 || s->stride != 1 || s->groups != 1)
        return false;
    return tiles >= (direction == FX_CONV_WEIGHTS ? MIN_TILES_WEIGHTS : MIN_TILES);
}

int fx_cpu_group_major_of(void *ctx, const struct fx_node *conv, int c_in, int n)
{
    const struct fx_device *device = ((const struct fx_program *)ctx)->model->device;
    struct fx_weight_layout layout = fx_weight_layout_of(conv, c_in, device->loops->block);
    struct fx_dnnl_conv_shape one = {
        .n = n,
        .groups = 1,
        .h_out = conv->shape.h,
        .w_out = conv->shape.w,
        .kernel = conv->kernel,
        .stride = conv->stride,
        .bf16 = device->bf16,
    };

    return layout.merged > 1 && wants_winograd(&one, FX_CONV_FORWARD) ? layout.merged : 1;
}

/* What one run of the operator computes. */
static struct fx_dnnl_conv_shape shape_of(const struct fx_program *program, int node,
                                          const struct fx_view *x, const struct fx_view *y)
{
    const struct fx_node *n = &program->lowered.graph->nodes[node];
    const struct fx_conv_op *op = &program->convs[node];
    int groups = op->layout.merged / op->n_runs;

    return (struct fx_dnnl_conv_shape){
        .n = program->lowered.n,
        .block = op->layout.block,
        .groups = groups,
        .c_in = groups * op->layout.in,
        .c_out = groups * op->layout.out,
        .h_in = x->area / x->w,
        .w_in = x->w,
        .h_out = y->area / y->w,
        .w_out = y->w,
        .kernel = n->kernel,
        .stride = n->stride,
        .pad = n->pad,
        .bf16 = program->model->device->bf16,
    };
}

/* Compiles, and sees to the workspace. */
enum fx_status fx_cpu_conv_compile(void *ctx, int node, enum fx_conv_direction direction,
                                   const struct fx_view *x, const struct fx_view *y,
                                   struct fx_err *err)
{
    static const enum fx_dnnl_direction directions[] = {
        [FX_CONV_FORWARD] = FX_DNNL_FORWARD,
        [FX_CONV_DATA] = FX_DNNL_BACKWARD_DATA,
        [FX_CONV_WEIGHTS] = FX_DNNL_BACKWARD_WEIGHTS,
    };
    struct fx_program *program = ctx;
    const struct fx_graph *graph = program->lowered.graph;
    struct fx_conv_op *op = &program->convs[node];
    struct fx_dnnl_conv_shape shape;
    size_t bytes;

    op->layout =
        fx_weight_layout_of(&graph->nodes[node], x->c, program->model->device->loops->block);
    op->n_runs = fx_view_groups(x, op->layout.block);
    op->param = graph->nodes[node].params[0];
    shape = shape_of(program, node, x, y);
    if (fx_dnnl_conv_create(&op->directions[direction], program->model->device->dnnl, &shape,
                            directions[direction], wants_winograd(&shape, direction), err) != FX_OK)
        return fx_err_prepend(err, "%s: ", graph->params[op->param].name);
    bytes = fx_arena_round(fx_dnnl_conv_workspace(op->directions[direction]));
    if (direction == FX_CONV_WEIGHTS) /* room for what is added when gradients accumulate */
        bytes += fx_weight_floats(&op->layout) * sizeof(float);
    if (bytes > program->workspace_bytes)
        program->workspace_bytes = bytes;
    return FX_OK;
}

/* One direction for all groups: x and y are the views of the node's input and result, or of their
 * gradients. */
static enum fx_status run_direction(const struct fx_conv_op *op, enum fx_conv_direction direction,
                                    const struct fx_view *x, float *weights,
                                    const struct fx_view *y, const struct fx_cpu_exec *exec,
                                    struct fx_err *err)
{
    size_t floats = fx_weight_floats(&op->layout) / (size_t)op->n_runs;

    for (int g = 0; g < op->n_runs; g++)
        FX_TRY(fx_dnnl_conv_run(
            op->directions[direction], exec->stream, (char *)x->data + (size_t)g * x->group_bytes,
            weights + (size_t)g * floats, (char *)y->data + (size_t)g * y->group_bytes,
            exec->workspace, err));
    return FX_OK;
}

enum fx_status fx_cpu_conv_forward(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                                   struct fx_err *err)
{
    const struct fx_conv_op *op = &exec->program->convs[s->node];

    return run_direction(op, FX_CONV_FORWARD, &s->operands[0],
                         fx_store_at(&exec->program->model->step.store, op->param, FX_ROLE_VALUE),
                         &s->operands[1], exec, err);
}

enum fx_status fx_cpu_conv_data(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                                struct fx_err *err)
{
    const struct fx_conv_op *op = &exec->program->convs[s->node];

    return run_direction(op, FX_CONV_DATA, &s->operands[1],
                         fx_store_at(&exec->program->model->step.store, op->param, FX_ROLE_VALUE),
                         &s->operands[0], exec, err);
}

enum fx_status fx_cpu_conv_weights(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                                   struct fx_err *err)
{
    const struct fx_conv_op *op = &exec->program->convs[s->node];
    size_t workspace = fx_dnnl_conv_workspace(op->directions[FX_CONV_WEIGHTS]);
    float *grad = fx_store_at(&exec->program->model->step.store, op->param, FX_ROLE_GRAD);
    float *to = grad;

    if (exec->accumulate)
        to = (float *)exec->workspace + fx_arena_round(workspace) / sizeof(float);
    FX_TRY(run_direction(op, FX_CONV_WEIGHTS, &s->operands[0], to, &s->operands[1], exec, err));
    fx_weight_clear_rest(&op->layout, to);
    if (exec->accumulate)
        for (size_t i = 0; i < fx_weight_floats(&op->layout); i++)
            grad[i] += to[i];
    return FX_OK;
}
