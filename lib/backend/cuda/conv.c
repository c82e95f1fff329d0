/* CONV2D: 1x1 convolutions of stride 1 are matrix products of all lanes at once (cuBLASLt), but for
 * some weight gradients (conv_weights.c); all others go to cuDNN.
 *
 * Grouped convolutions run group by group as dense ones on group-major maps: for 64 channels a
 * group cuDNN 9.19 has no data gradient on sm_90 that works in place, and for 256 no weight
 * gradient. */
#include "backend/cuda/conv_internal.h"

static struct fx_conv_geometry geometry_of(const struct fx_cuda_exec *exec,
                                           const struct fx_instr *s, const struct fx_view *x,
                                           const struct fx_view *y)
{
    const struct fx_node *node = &exec->program->model->graph->nodes[s->node];
    struct fx_conv_geometry g = { .layout = fx_weight_layout_of(node, x->c, FX_K_BLOCK),
                                  .n_groups = fx_view_groups(x, FX_K_BLOCK),
                                  .param = node->params[0],
                                  .x = fx_cuda_map(exec, x),
                                  .y = fx_cuda_map(exec, y),
                                  .rows = fx_cuda_rows(exec, y) };
    int at_once = g.layout.merged / g.n_groups;

    g.shape = (struct fx_cudnn_shape){ .n = exec->program->lowered.n,
                                       .c_in = at_once * g.layout.in,
                                       .c_out = at_once * g.layout.out,
                                       .h_in = x->area / x->w,
                                       .w_in = x->w,
                                       .h_out = y->area / y->w,
                                       .w_out = y->w,
                                       .kernel = node->kernel,
                                       .stride = node->stride,
                                       .pad = node->pad,
                                       .groups = at_once,
                                       .bf16 = exec->launch.bf16,
                                       .add = s->accumulate };
    return g;
}

static bool is_product(const struct fx_conv_geometry *g)
{
    return g->shape.kernel == 1 && g->shape.stride == 1 && g->shape.pad == 0 &&
           g->layout.merged == 1;
}

/* ---- products ---- */

static enum fx_status compile_product(const struct fx_cuda_exec *exec,
                                      const struct fx_conv_geometry *g,
                                      enum fx_conv_direction direction,
                                      struct fx_compiled *compiled, size_t *workspace,
                                      struct fx_err *err)
{
    struct fx_gemm *gemm = exec->program->model->device->gemm;
    struct fx_gemm_shape shape = fx_conv_product_of(exec, g, direction);

    if (direction == FX_CONV_WEIGHTS)
        return fx_conv_compile_weights(exec, g, compiled, workspace, err);
    FX_TRY(fx_gemm_plan_create(&compiled->product, gemm, &shape, err));
    *workspace = fx_gemm_plan_workspace(compiled->product);
    return FX_OK;
}

/* Of values or, for data, of their gradients. */
static enum fx_status launch_product(const struct fx_cuda_exec *exec,
                                     const struct fx_conv_geometry *g,
                                     enum fx_conv_direction direction,
                                     const struct fx_compiled *compiled, struct fx_err *err)
{
    const struct fx_k_map *from = direction == FX_CONV_DATA ? &g->y : &g->x;
    const struct fx_k_map *to = direction == FX_CONV_DATA ? &g->x : &g->y;

    return fx_gemm_run(compiled->product, exec->launch.stream, from->data,
                       fx_cuda_weight(exec, g->param), to->data, g->workspace, err);
}

/* ---- the instructions ---- */

static enum fx_conv_direction direction_of(const struct fx_instr *s)
{
    switch (s->op) {
    case FX_INSTR_CONV_BACK_DATA:
        return FX_CONV_DATA;
    case FX_INSTR_CONV_BACK_WEIGHTS:
        return FX_CONV_WEIGHTS;
    default:
        return FX_CONV_FORWARD;
    }
}

/* The operands are x and y, or, for data, dy and dx. */
static struct fx_conv_geometry geometry_of_instr(const struct fx_cuda_exec *exec,
                                                 const struct fx_instr *s)
{
    int x = direction_of(s) == FX_CONV_DATA ? 1 : 0;

    return geometry_of(exec, s, &s->operands[x], &s->operands[1 - x]);
}

static enum fx_status compile(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                              struct fx_compiled *compiled, size_t *workspace, struct fx_err *err)
{
    struct fx_conv_geometry g = geometry_of_instr(exec, s);

    return is_product(&g)
               ? compile_product(exec, &g, direction_of(s), compiled, workspace, err)
               : fx_conv_compile_cudnn(exec, &g, direction_of(s), compiled, workspace, err);
}

static enum fx_status launch(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                             const struct fx_compiled *compiled, struct fx_err *err)
{
    struct fx_conv_geometry g = geometry_of_instr(exec, s);

    g.workspace = fx_cuda_workspace(exec, 0);
    if (direction_of(s) == FX_CONV_WEIGHTS) {
        g.grad = fx_cuda_param(exec, g.param, FX_ROLE_GRAD);
        return fx_conv_launch_weights(exec, &g, compiled, err);
    }
    if (is_product(&g))
        return launch_product(exec, &g, direction_of(s), compiled, err);
    return fx_conv_launch_cudnn(exec, &g, fx_cuda_weight(exec, g.param), exec->batch->trained_lane,
                                compiled, err);
}

const struct fx_cuda_operator fx_cuda_conv = { compile, launch };
