/* CONV2D: 1x1 convolutions of stride 1 are matrix products of all lanes at once (cuBLASLt); all
 * others go to cuDNN, one call for each lane and group, spread over the side streams.
 *
 * Grouped convolutions run group by group as dense ones on group-major maps: for 64 channels a
 * group cuDNN 9.19 has no data gradient on sm_90 that works in place, and for 256 no weight
 * gradient. */
#include "backend/cuda/cuda_internal.h"
#include "backend/cuda/parts.h"

#include <assert.h>

/* One convolution as the libraries see it. */
struct geometry {
    struct fx_weight_layout layout;
    int n_groups; /* run one after the other, on group-major maps */
    int param;
    struct fx_k_map x, y;        /* what the node reads and makes, or their gradients */
    int rows;                    /* pixels of y */
    struct fx_cudnn_shape shape; /* of one group */
};

static struct geometry geometry_of(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                   const struct fx_view *x, const struct fx_view *y)
{
    const struct fx_node *node = &exec->program->model->graph->nodes[s->node];
    struct geometry g = { .layout = fx_weight_layout_of(node, x->c, FX_K_BLOCK),
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

static bool is_product(const struct geometry *g)
{
    return g->shape.kernel == 1 && g->shape.stride == 1 && g->shape.pad == 0 &&
           g->layout.merged == 1;
}

/* Values of a lane's weight. */
static size_t weight_values(const struct geometry *g)
{
    return fx_weight_floats(&g->layout);
}

static size_t max_bytes(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* ---- side streams ---- */

/* Calls, and side streams that they are spread over. */
static int count_runs(const struct fx_cuda_exec *exec, const struct geometry *g)
{
    return exec->launch.n_lanes * g->n_groups;
}

static int count_sides(const struct fx_cuda_exec *exec, const struct geometry *g)
{
    int n_runs = count_runs(exec, g);

    return n_runs < FX_CUDA_SIDE_STREAMS ? n_runs : FX_CUDA_SIDE_STREAMS;
}

/* The queue's first side stream. */
static int first_side(const struct fx_cuda_exec *exec)
{
    return (int)exec->queue * FX_CUDA_SIDE_STREAMS;
}

static enum fx_status fork(const struct fx_cuda_exec *exec, int n, struct fx_err *err)
{
    const struct fx_device *device = exec->program->model->device;
    cudaEvent_t event = device->fork[exec->queue];

    FX_CUDA(cudaEventRecord(event, exec->launch.stream));
    for (int i = 0; i < n; i++)
        FX_CUDA(cudaStreamWaitEvent(device->sides[first_side(exec) + i], event, 0));
    return FX_OK;
}

static enum fx_status join(const struct fx_cuda_exec *exec, int n, struct fx_err *err)
{
    const struct fx_device *device = exec->program->model->device;

    for (int i = first_side(exec); i < first_side(exec) + n; i++) {
        FX_CUDA(cudaEventRecord(device->join[i], device->sides[i]));
        FX_CUDA(cudaStreamWaitEvent(exec->launch.stream, device->join[i], 0));
    }
    return FX_OK;
}

static void *map_at(const struct fx_cuda_exec *exec, const struct fx_k_map *map, int lane,
                    int group)
{
    size_t value = fx_cuda_value_bytes(exec->program->model->device);

    return (char *)map->data + ((size_t)lane * map->lane + (size_t)group * map->group) * value;
}

/* ---- products ---- */

static struct fx_gemm_shape product_of(const struct fx_cuda_exec *exec, const struct geometry *g,
                                       enum fx_conv_direction direction)
{
    struct fx_gemm_matrix x = { g->x.ld, g->x.lane }, y = { g->y.ld, g->y.lane };
    struct fx_gemm_shape p =
        fx_cuda_layer_product(exec, direction, g->rows, g->layout.in, g->layout.out, x, y);

    p.bf16 = exec->launch.bf16;
    p.c_bf16 = p.bf16 && direction != FX_CONV_WEIGHTS; /* gradients of weights are f32 */
    p.add = g->shape.add;
    return p;
}

/* Parts of a lane's pixels as lanes of a product, whose results lie one behind the other. */
static struct fx_gemm_shape product_of_parts(struct fx_gemm_shape p, int n_parts)
{
    p.k /= n_parts;
    p.n_lanes = n_parts;
    p.a.lane = (size_t)p.k * (size_t)p.a.ld;
    p.b.lane = (size_t)p.k * (size_t)p.b.ld;
    p.c.lane = (size_t)p.m * (size_t)p.n;
    p.add = false;
    return p;
}

static enum fx_status compile_parts(const struct fx_cuda_exec *exec, const struct geometry *g,
                                    const struct fx_gemm_shape *shape, int n_parts,
                                    struct fx_compiled *compiled, size_t *workspace,
                                    struct fx_err *err)
{
    struct fx_gemm_shape parts = product_of_parts(*shape, n_parts);
    size_t n_results = (size_t)exec->launch.n_lanes * (size_t)n_parts * weight_values(g);

    FX_TRY(
        fx_gemm_plan_create(&compiled->product, exec->program->model->device->gemm, &parts, err));
    compiled->n_parts = n_parts;
    compiled->side_bytes = fx_device_round(fx_gemm_plan_workspace(compiled->product));
    *workspace = max_bytes(*workspace, (size_t)count_sides(exec, g) * compiled->side_bytes +
                                           n_results * sizeof(float));
    return FX_OK;
}

/* By one product of all lanes or, where that leaves most of the device idle, by parts. */
static enum fx_status compile_weights(const struct fx_cuda_exec *exec, const struct geometry *g,
                                      struct fx_gemm_shape *shape, struct fx_compiled *compiled,
                                      size_t *workspace, struct fx_err *err)
{
    const struct fx_device *device = exec->program->model->device;
    int n_parts =
        fx_count_parts(shape->m, shape->n, shape->k, shape->n_lanes, device->n_processors);

    for (int add = 0; add < 2; add++) {
        shape->add = add;
        FX_TRY(fx_gemm_plan_create(&compiled->weights[add], device->gemm, shape, err));
        *workspace = max_bytes(*workspace, fx_gemm_plan_workspace(compiled->weights[add]));
    }
    if (!device->cuts_sums || n_parts == 1 || fx_gemm_plan_splits(compiled->weights[0]))
        return FX_OK;
    return compile_parts(exec, g, shape, n_parts, compiled, workspace, err);
}

static enum fx_status compile_product(const struct fx_cuda_exec *exec, const struct geometry *g,
                                      enum fx_conv_direction direction,
                                      struct fx_compiled *compiled, size_t *workspace,
                                      struct fx_err *err)
{
    struct fx_gemm *gemm = exec->program->model->device->gemm;
    struct fx_gemm_shape shape = product_of(exec, g, direction);

    if (direction == FX_CONV_WEIGHTS)
        return compile_weights(exec, g, &shape, compiled, workspace, err);
    FX_TRY(fx_gemm_plan_create(&compiled->product, gemm, &shape, err));
    *workspace = fx_gemm_plan_workspace(compiled->product);
    return FX_OK;
}

/* A lane's parts side by side; those of all lanes are added at the end. */
static enum fx_status launch_parts(const struct fx_cuda_exec *exec, const struct geometry *g,
                                   const struct fx_compiled *compiled, struct fx_err *err)
{
    const struct fx_device *device = exec->program->model->device;
    int n_sides = count_sides(exec, g);
    size_t lane_values = (size_t)compiled->n_parts * weight_values(g);
    float *parts = fx_cuda_workspace(exec, (size_t)n_sides * compiled->side_bytes);

    FX_TRY(fork(exec, n_sides, err));
    for (int lane = 0; lane < exec->launch.n_lanes; lane++) {
        int side = lane % n_sides;

        FX_TRY(fx_gemm_run(compiled->product, device->sides[first_side(exec) + side],
                           map_at(exec, &g->y, lane, 0), map_at(exec, &g->x, lane, 0),
                           parts + (size_t)lane * lane_values,
                           fx_cuda_workspace(exec, (size_t)side * compiled->side_bytes), err));
    }
    FX_TRY(join(exec, n_sides, err));
    FX_CUDA(fx_k_sum_parts(&exec->launch, parts, compiled->n_parts, weight_values(g),
                           fx_cuda_param(exec, g->param, FX_ROLE_GRAD), exec->accumulate));
    return FX_OK;
}

static enum fx_status launch_product(const struct fx_cuda_exec *exec, const struct geometry *g,
                                     enum fx_conv_direction direction,
                                     const struct fx_compiled *compiled, struct fx_err *err)
{
    cudaStream_t stream = exec->launch.stream;
    void *workspace = fx_cuda_workspace(exec, 0);
    void *w = fx_cuda_weight(exec, g->param);

    if (compiled->n_parts > 0)
        return launch_parts(exec, g, compiled, err);
    if (direction == FX_CONV_FORWARD)
        return fx_gemm_run(compiled->product, stream, g->x.data, w, g->y.data, workspace, err);
    if (direction == FX_CONV_DATA)
        return fx_gemm_run(compiled->product, stream, g->y.data, w, g->x.data, workspace, err);
    return fx_gemm_run(compiled->weights[exec->accumulate], stream, g->y.data, g->x.data,
                       fx_cuda_param(exec, g->param, FX_ROLE_GRAD).data, workspace, err);
}

/* ---- cuDNN ---- */

/* A lane's weight gradient as cuDNN writes it, in bytes. */
static size_t fresh_bytes(const struct fx_cuda_exec *exec, const struct geometry *g)
{
    return fx_device_round(weight_values(g) * fx_cuda_value_bytes(exec->program->model->device));
}

static enum fx_status compile_cudnn(const struct fx_cuda_exec *exec, const struct geometry *g,
                                    enum fx_conv_direction direction, struct fx_compiled *compiled,
                                    size_t *workspace, struct fx_err *err)
{
    const struct fx_model *model = exec->program->model;
    struct fx_cudnn_facts facts;

    assert(g->x.ld == g->shape.c_in && g->y.ld == g->shape.c_out); /* cudnn_plan.h: packed */
    if (fx_cudnn_plan_get(&compiled->conv, model->device->cudnn, &g->shape, direction, err) !=
        FX_OK)
        return fx_err_prepend(err, "%s: ", model->graph->params[g->param].name);
    fx_cudnn_plan_facts(compiled->conv, &facts);
    compiled->side_bytes = fx_device_round(facts.workspace_bytes);
    *workspace = (size_t)count_sides(exec, g) * compiled->side_bytes;
    if (direction == FX_CONV_WEIGHTS)
        *workspace += (size_t)exec->launch.n_lanes * fresh_bytes(exec, g);
    return FX_OK;
}

/* All lanes and groups: w is lane 0's weight or gradient, w_lane the values to the next lane's. */
static enum fx_status launch_cudnn(const struct fx_cuda_exec *exec, const struct geometry *g,
                                   char *w, size_t w_lane, const struct fx_compiled *compiled,
                                   struct fx_err *err)
{
    size_t value = fx_cuda_value_bytes(exec->program->model->device);
    size_t w_group = weight_values(g) / (size_t)g->n_groups;
    int n_runs = count_runs(exec, g), n_sides = count_sides(exec, g);

    FX_TRY(fork(exec, n_sides, err));
    for (int i = 0; i < n_runs; i++) {
        int lane = i / g->n_groups, group = i % g->n_groups, side = i % n_sides;
        size_t at = (size_t)lane * w_lane + (size_t)group * w_group;

        FX_TRY(fx_cudnn_run(compiled->conv, first_side(exec) + side,
                            map_at(exec, &g->x, lane, group), w + at * value,
                            map_at(exec, &g->y, lane, group),
                            fx_cuda_workspace(exec, (size_t)side * compiled->side_bytes), err));
    }
    return join(exec, n_sides, err);
}

/* The gradient of the weights goes through the workspace: cuDNN writes it in the type of maps. */
static enum fx_status launch_cudnn_weights(const struct fx_cuda_exec *exec,
                                           const struct geometry *g,
                                           const struct fx_compiled *compiled, struct fx_err *err)
{
    size_t value = fx_cuda_value_bytes(exec->program->model->device);
    char *fresh = fx_cuda_workspace(exec, (size_t)count_sides(exec, g) * compiled->side_bytes);
    size_t fresh_lane = fresh_bytes(exec, g) / value;

    FX_TRY(launch_cudnn(exec, g, fresh, fresh_lane, compiled, err));
    FX_CUDA(fx_k_weight_grad(&exec->launch, &g->layout, fresh, fresh_lane,
                             fx_cuda_param(exec, g->param, FX_ROLE_GRAD), exec->accumulate));
    return FX_OK;
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
static struct geometry geometry_of_instr(const struct fx_cuda_exec *exec, const struct fx_instr *s)
{
    int x = direction_of(s) == FX_CONV_DATA ? 1 : 0;

    return geometry_of(exec, s, &s->operands[x], &s->operands[1 - x]);
}

static enum fx_status compile(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                              struct fx_compiled *compiled, size_t *workspace, struct fx_err *err)
{
    struct geometry g = geometry_of_instr(exec, s);

    return is_product(&g) ? compile_product(exec, &g, direction_of(s), compiled, workspace, err)
                          : compile_cudnn(exec, &g, direction_of(s), compiled, workspace, err);
}

static enum fx_status launch(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                             const struct fx_compiled *compiled, struct fx_err *err)
{
    struct geometry g = geometry_of_instr(exec, s);

    if (is_product(&g))
        return launch_product(exec, &g, direction_of(s), compiled, err);
    if (direction_of(s) == FX_CONV_WEIGHTS)
        return launch_cudnn_weights(exec, &g, compiled, err);
    return launch_cudnn(exec, &g, fx_cuda_weight(exec, g.param), exec->batch->trained_lane,
                        compiled, err);
}

const struct fx_cuda_operator fx_cuda_conv = { compile, launch };
