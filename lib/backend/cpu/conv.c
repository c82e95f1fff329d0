/* CONV2D: oneDNN primitives, one for each direction.
 *
 * f32 3x3 layers of stride 1 ask for Winograd F(4x4, 3x3).  Measured on one Zen 4 core, GFLOP/s of
 * the direct algorithm (forward, data, weights: 119 118 97 at 160 channels, 32x32) against Winograd
 * (328 325 282); it wins for every such layer of the four networks except on 4x4 maps of few
 * channels, where the transforms weigh more than the product. */
#include "backend/cpu/lower.h"

/* Half of the transformed tile is padding on a 4x4 map: below this many weights it does not pay. */
enum { WINOGRAD_MIN_MAP = 5, WINOGRAD_MIN_WEIGHTS = 256 * 256 };

static bool wants_winograd(const struct fx_dnnl_conv_shape *s)
{
    if (s->bf16 || s->kernel != 3 || s->stride != 1 || s->groups != 1)
        return false;
    return s->h_out >= WINOGRAD_MIN_MAP || s->c_in * s->c_out >= WINOGRAD_MIN_WEIGHTS;
}

static struct fx_dnnl_conv_shape shape_of(const struct fx_lowering *l, const struct fx_node *node,
                                          const struct fx_weight_layout *layout)
{
    struct fx_value_shape in = l->graph->nodes[fx_lower_input(l, node, 0)].shape;

    return (struct fx_dnnl_conv_shape){
        .n = l->program->n,
        .block = layout->block,
        .groups = layout->merged,
        .c_in = layout->merged * layout->in,
        .c_out = layout->merged * layout->out,
        .h_in = in.h,
        .w_in = in.w,
        .h_out = node->shape.h,
        .w_out = node->shape.w,
        .kernel = node->kernel,
        .stride = node->stride,
        .pad = node->pad,
        .bf16 = l->program->model->device->bf16,
    };
}

/* Compiles one direction and sees to its workspace. */
static enum fx_status compile(struct fx_lowering *l, int node, enum fx_dnnl_direction direction)
{
    const struct fx_node *n = &l->graph->nodes[node];
    struct fx_conv_op *op = &l->program->nodes[node].conv;
    struct fx_dnnl_conv_shape shape;
    size_t bytes;

    op->layout =
        fx_weight_layout_of(n, l->graph->nodes[fx_lower_input(l, n, 0)].shape.c, l->loops->lanes);
    op->param = n->params[0];
    shape = shape_of(l, n, &op->layout);
    if (fx_dnnl_conv_create(&op->directions[direction], l->program->model->device->dnnl, &shape,
                            direction, wants_winograd(&shape), l->err) != FX_OK)
        return fx_err_prepend(l->err, "%s: ", l->graph->params[op->param].name);
    bytes = fx_arena_round(fx_dnnl_conv_workspace(op->directions[direction]));
    if (direction ==
        FX_DNNL_BACKWARD_WEIGHTS) /* room for what is added when gradients accumulate */
        bytes += fx_weight_floats(&op->layout) * sizeof(float);
    if (bytes > l->program->workspace_bytes)
        l->program->workspace_bytes = bytes;
    return FX_OK;
}

static enum fx_status run_forward(const struct fx_step *s, const struct fx_run *run,
                                  struct fx_err *err)
{
    const struct fx_conv_op *op = s->op;

    return fx_dnnl_conv_run(op->directions[FX_DNNL_FORWARD], run->stream, s->views[0].data,
                            fx_store_at(&run->program->model->store, op->param, FX_ROLE_VALUE),
                            s->views[1].data, run->workspace, err);
}

static enum fx_status run_backward_data(const struct fx_step *s, const struct fx_run *run,
                                        struct fx_err *err)
{
    const struct fx_conv_op *op = s->op;

    return fx_dnnl_conv_run(op->directions[FX_DNNL_BACKWARD_DATA], run->stream, s->views[1].data,
                            fx_store_at(&run->program->model->store, op->param, FX_ROLE_VALUE),
                            s->views[0].data, run->workspace, err);
}

static enum fx_status run_backward_weights(const struct fx_step *s, const struct fx_run *run,
                                           struct fx_err *err)
{
    const struct fx_conv_op *op = s->op;
    const struct fx_dnnl_conv *conv = op->directions[FX_DNNL_BACKWARD_WEIGHTS];
    float *grad = fx_store_at(&run->program->model->store, op->param, FX_ROLE_GRAD);
    float *to = grad;

    if (run->accumulate)
        to = (float *)run->workspace + fx_arena_round(fx_dnnl_conv_workspace(conv)) / sizeof(float);
    FX_TRY(fx_dnnl_conv_run(conv, run->stream, s->views[0].data, to, s->views[1].data,
                            run->workspace, err));
    fx_weight_clear_rest(&op->layout, to);
    if (run->accumulate)
        for (size_t i = 0; i < fx_weight_floats(&op->layout); i++)
            grad[i] += to[i];
    return FX_OK;
}

enum fx_status fx_lower_conv(struct fx_lowering *l, int node)
{
    const struct fx_node *n = &l->graph->nodes[node];
    struct fx_step step = { .fn = run_forward, .name = "conv forward", .node = node };

    FX_TRY(compile(l, node, FX_DNNL_FORWARD));
    step.op = &l->program->nodes[node].conv;
    FX_TRY(fx_lower_value(l, fx_lower_input(l, n, 0), &step.views[0]));
    FX_TRY(fx_lower_exact(l, &step.views[0], &step.views[0]));
    FX_TRY(fx_lower_place_value(l, node, -1, &step.views[1]));
    return fx_lower_emit(l, step);
}

/* The weights first: then the input, if it was computed again for them, makes room for its
 * gradient. */
enum fx_status fx_lower_conv_back(struct fx_lowering *l, int node)
{
    const struct fx_node *n = &l->graph->nodes[node];
    int x = fx_lower_input(l, n, 0);
    struct fx_step step = { .fn = run_backward_weights, .name = "conv weights", .node = node };
    struct fx_view dy, dx;

    FX_TRY(fx_lower_exact(l, &l->grads[node], &dy));
    FX_TRY(compile(l, node, FX_DNNL_BACKWARD_WEIGHTS));
    step.op = &l->program->nodes[node].conv;
    FX_TRY(fx_lower_value(l, x, &step.views[0]));
    FX_TRY(fx_lower_exact(l, &step.views[0], &step.views[0]));
    step.views[1] = dy;
    FX_TRY(fx_lower_emit(l, step));
    if (l->uses[x].wants_grad) {
        FX_TRY(compile(l, node, FX_DNNL_BACKWARD_DATA));
        FX_TRY(fx_lower_new_map(l, l->graph->nodes[x].shape.c,
                                l->graph->nodes[x].shape.h * l->graph->nodes[x].shape.w,
                                l->graph->nodes[x].shape.w, &dx));
        step = (struct fx_step){ .fn = run_backward_data,
                                 .name = "conv data",
                                 .node = node,
                                 .op = &l->program->nodes[node].conv,
                                 .views = { dy, dx } };
        FX_TRY(fx_lower_emit(l, step));
        fx_lower_release(l, &l->grads[node]);
        fx_lower_share(l, &dx);
        return fx_lower_contribute(l, x, &dx);
    }
    fx_lower_release(l, &l->grads[node]);
    return FX_OK;
}
