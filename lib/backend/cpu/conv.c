/* CONV2D: oneDNN primitives, one for each direction.
 *
 * f32 3x3 layers of stride 1 ask for Winograd F(4x4, 3x3).  Measured on one Zen 4 core, GFLOP/s of
 * the direct algorithm (forward, data, weights: 119 118 97 at 160 channels, 32x32) against Winograd
 * (328 325 282).  What decides is the number of 4x4 tiles in the batch, over which the transform of
 * the weights is spread, whatever the channels: direct / Winograd time at 8, 16, 32 tiles is 0.6,
 * 0.9, 1.4 forward and data, 0.8 to 1.7, 1.3 to 2.3, 1.8 to 4 for weights.
 *
 * oneDNN has no Winograd for grouped convolutions, so where their neighbours can read and write
 * split maps, the groups run one after the other as dense convolutions: 272 270 199 instead of
 * 116 115 92 for 8 groups of 64 channels, 32x32, 8 images. */
#include "backend/cpu/lower.h"

enum { TILE = 4, MIN_TILES = 24, MIN_TILES_WEIGHTS = 12 };

static bool wants_winograd(const struct fx_dnnl_conv_shape *s, enum fx_dnnl_direction direction)
{
    int tiles = s->n * ((s->h_out + TILE - 1) / TILE) * ((s->w_out + TILE - 1) / TILE);

    if (s->bf16 || s->kernel != 3 || s->stride != 1 || s->groups != 1)
        return false;
    return tiles >= (direction == FX_DNNL_BACKWARD_WEIGHTS ? MIN_TILES_WEIGHTS : MIN_TILES);
}

int fx_lower_split_of(const struct fx_lowering *l, const struct fx_node *conv)
{
    int c_in = l->graph->nodes[fx_lower_input(l, conv, 0)].shape.c;
    struct fx_weight_layout layout = fx_weight_layout_of(conv, c_in, l->loops->lanes);
    struct fx_dnnl_conv_shape one = {
        .n = l->program->n,
        .groups = 1,
        .h_out = conv->shape.h,
        .w_out = conv->shape.w,
        .kernel = conv->kernel,
        .stride = conv->stride,
        .bf16 = l->program->model->device->bf16,
    };

    return layout.merged > 1 && wants_winograd(&one, FX_DNNL_FORWARD) ? layout.merged : 1;
}

/* Compiles one direction for maps like x and y, and sees to its workspace. */
static enum fx_status compile(struct fx_lowering *l, int node, const struct fx_view *x,
                              const struct fx_view *y, enum fx_dnnl_direction direction)
{
    const struct fx_node *n = &l->graph->nodes[node];
    struct fx_conv_op *op = &l->program->nodes[node].conv;
    struct fx_dnnl_conv_shape shape;
    size_t bytes;

    op->layout = fx_weight_layout_of(n, x->c, l->loops->lanes);
    op->n_runs = x->group_blocks > 0 ? op->layout.merged : 1;
    op->param = n->params[0];
    shape = (struct fx_dnnl_conv_shape){
        .n = l->program->n,
        .block = op->layout.block,
        .groups = op->layout.merged / op->n_runs,
        .c_in = op->layout.merged / op->n_runs * op->layout.in,
        .c_out = op->layout.merged / op->n_runs * op->layout.out,
        .h_in = x->area / x->w,
        .w_in = x->w,
        .h_out = y->area / y->w,
        .w_out = y->w,
        .kernel = n->kernel,
        .stride = n->stride,
        .pad = n->pad,
        .bf16 = l->program->model->device->bf16,
    };
    if (fx_dnnl_conv_create(&op->directions[direction], l->program->model->device->dnnl, &shape,
                            direction, wants_winograd(&shape, direction), l->err) != FX_OK)
        return fx_err_prepend(l->err, "%s: ", l->graph->params[op->param].name);
    bytes = fx_arena_round(fx_dnnl_conv_workspace(op->directions[direction]));
    if (direction ==
        FX_DNNL_BACKWARD_WEIGHTS) /* room for what is added when gradients accumulate */
        bytes += fx_weight_floats(&op->layout) * sizeof(float);
    if (bytes > l->program->workspace_bytes)
        l->program->workspace_bytes = bytes;
    return FX_OK;
}

/* One direction for all groups: x and y are the views of the node's input and result, or of their
 * gradients. */
static enum fx_status run_direction(const struct fx_conv_op *op, enum fx_dnnl_direction direction,
                                    const struct fx_view *x, float *weights,
                                    const struct fx_view *y, const struct fx_run *run,
                                    struct fx_err *err)
{
    size_t floats = fx_weight_floats(&op->layout) / (size_t)op->n_runs;

    for (int g = 0; g < op->n_runs; g++)
        FX_TRY(fx_dnnl_conv_run(op->directions[direction], run->stream,
                                (char *)x->data + (size_t)g * x->group_bytes,
                                weights + (size_t)g * floats,
                                (char *)y->data + (size_t)g * y->group_bytes, run->workspace, err));
    return FX_OK;
}

/* views: x, y */
static enum fx_status run_forward(const struct fx_step *s, const struct fx_run *run,
                                  struct fx_err *err)
{
    const struct fx_conv_op *op = s->op;

    return run_direction(op, FX_DNNL_FORWARD, &s->views[0],
                         fx_store_at(&run->program->model->store, op->param, FX_ROLE_VALUE),
                         &s->views[1], run, err);
}

/* views: dy, dx */
static enum fx_status run_backward_data(const struct fx_step *s, const struct fx_run *run,
                                        struct fx_err *err)
{
    const struct fx_conv_op *op = s->op;

    return run_direction(op, FX_DNNL_BACKWARD_DATA, &s->views[1],
                         fx_store_at(&run->program->model->store, op->param, FX_ROLE_VALUE),
                         &s->views[0], run, err);
}

/* views: x, dy */
static enum fx_status run_backward_weights(const struct fx_step *s, const struct fx_run *run,
                                           struct fx_err *err)
{
    const struct fx_conv_op *op = s->op;
    size_t workspace = fx_dnnl_conv_workspace(op->directions[FX_DNNL_BACKWARD_WEIGHTS]);
    float *grad = fx_store_at(&run->program->model->store, op->param, FX_ROLE_GRAD);
    float *to = grad;

    if (run->accumulate)
        to = (float *)run->workspace + fx_arena_round(workspace) / sizeof(float);
    FX_TRY(run_direction(op, FX_DNNL_BACKWARD_WEIGHTS, &s->views[0], to, &s->views[1], run, err));
    fx_weight_clear_rest(&op->layout, to);
    if (run->accumulate)
        for (size_t i = 0; i < fx_weight_floats(&op->layout); i++)
            grad[i] += to[i];
    return FX_OK;
}

enum fx_status fx_lower_conv_between(struct fx_lowering *l, int node, const struct fx_view *x,
                                     const struct fx_view *y)
{
    FX_TRY(compile(l, node, x, y, FX_DNNL_FORWARD));
    return fx_lower_emit(l, (struct fx_step){ .fn = run_forward,
                                              .name = "conv forward",
                                              .node = node,
                                              .op = &l->program->nodes[node].conv,
                                              .views = { *x, *y } });
}

enum fx_status fx_lower_conv_weights(struct fx_lowering *l, int node, const struct fx_view *x,
                                     const struct fx_view *dy)
{
    FX_TRY(compile(l, node, x, dy, FX_DNNL_BACKWARD_WEIGHTS));
    return fx_lower_emit(l, (struct fx_step){ .fn = run_backward_weights,
                                              .name = "conv weights",
                                              .node = node,
                                              .op = &l->program->nodes[node].conv,
                                              .views = { *x, *dy } });
}

enum fx_status fx_lower_conv_data(struct fx_lowering *l, int node, const struct fx_view *dy,
                                  const struct fx_view *dx)
{
    FX_TRY(compile(l, node, dx, dy, FX_DNNL_BACKWARD_DATA));
    return fx_lower_emit(l, (struct fx_step){ .fn = run_backward_data,
                                              .name = "conv data",
                                              .node = node,
                                              .op = &l->program->nodes[node].conv,
                                              .views = { *dy, *dx } });
}

/* What a convolution reads: the view itself if it is as the node wants it, else a copy. */
static enum fx_status readable(struct fx_lowering *l, int node, const struct fx_view *view,
                               struct fx_view *out)
{
    if (l->uses[node].n_groups == 1)
        return fx_lower_exact(l, view, out);
    *out = *view; /* split: by analysis, both neighbours are exact */
    return FX_OK;
}

enum fx_status fx_lower_conv(struct fx_lowering *l, int node)
{
    struct fx_view x, y;

    if (l->uses[node].is_pooled)
        return FX_OK; /* done by the pool */
    FX_TRY(fx_lower_value(l, fx_lower_input(l, &l->graph->nodes[node], 0), &x));
    FX_TRY(readable(l, node, &x, &x));
    FX_TRY(fx_lower_place_value(l, node, -1, &y));
    return fx_lower_conv_between(l, node, &x, &y);
}

/* The weights first: then the input, if it was computed again for them, makes room for its
 * gradient. */
enum fx_status fx_lower_conv_back(struct fx_lowering *l, int node)
{
    int v = fx_lower_input(l, &l->graph->nodes[node], 0);
    struct fx_view x, dx, dy;

    FX_TRY(readable(l, node, &l->grads[node], &dy));
    FX_TRY(fx_lower_value(l, v, &x));
    FX_TRY(readable(l, node, &x, &x));
    FX_TRY(fx_lower_conv_weights(l, node, &x, &dy));
    if (l->uses[v].wants_grad) {
        FX_TRY(fx_lower_new_like(l, v, &dx));
        FX_TRY(fx_lower_conv_data(l, node, &dy, &dx));
        fx_lower_share(l, &dx);
        FX_TRY(fx_lower_contribute(l, v, &dx));
    }
    fx_lower_release(l, &l->grads[node]);
    return FX_OK;
}
