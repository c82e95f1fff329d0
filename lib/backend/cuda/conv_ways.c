/* How convolutions are computed: as products of all lanes or of parts of the pixels (cuBLASLt), or
 * by cuDNN, one call for each lane and group.  Calls for single lanes are spread over the side
 * streams. */
#include "backend/cuda/conv_internal.h"
#include "backend/cuda/parts.h"

#include <assert.h>

/* Values of a lane's weight. */
static size_t weight_values(const struct fx_conv_geometry *g)
{
    return fx_weight_floats(&g->layout);
}

static size_t max_bytes(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* ---- side streams ---- */

/* Calls, and side streams that they are spread over. */
static int count_runs(const struct fx_cuda_exec *exec, const struct fx_conv_geometry *g)
{
    return exec->launch.n_lanes * g->n_groups;
}

static int count_sides(const struct fx_cuda_exec *exec, const struct fx_conv_geometry *g)
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

/* The workspace from byte `offset`, which is rounded up. */
static void *workspace_at(const struct fx_conv_geometry *g, size_t offset)
{
    return g->workspace + fx_device_round(offset);
}

static void *map_at(const struct fx_cuda_exec *exec, const struct fx_k_map *map, int lane,
                    int group)
{
    size_t value = fx_cuda_value_bytes(exec->program->model->device);

    return (char *)map->data + ((size_t)lane * map->lane + (size_t)group * map->group) * value;
}

/* ---- products ---- */

struct fx_gemm_shape fx_conv_product_of(const struct fx_cuda_exec *exec,
                                        const struct fx_conv_geometry *g,
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

static int count_parts(const struct fx_cuda_exec *exec, const struct fx_gemm_shape *s)
{
    int n_processors = exec->program->model->device->n_processors;

    return fx_count_parts(s->m, s->n, s->k, s->n_lanes, n_processors);
}

static enum fx_status compile_parts(const struct fx_cuda_exec *exec,
                                    const struct fx_conv_geometry *g, struct fx_compiled *compiled,
                                    size_t *workspace, struct fx_err *err)
{
    struct fx_gemm_shape whole = fx_conv_product_of(exec, g, FX_CONV_WEIGHTS);
    int n_parts = count_parts(exec, &whole);
    struct fx_gemm_shape parts = product_of_parts(whole, n_parts);
    size_t n_results = (size_t)exec->launch.n_lanes * (size_t)n_parts * weight_values(g);

    if (n_parts == 1)
        return fx_fail(err, FX_EDEVICE, "device cuda: nothing to cut into parts");
    FX_TRY(
        fx_gemm_plan_create(&compiled->product, exec->program->model->device->gemm, &parts, err));
    compiled->n_parts = n_parts;
    compiled->side_bytes = fx_device_round(fx_gemm_plan_workspace(compiled->product));
    *workspace = max_bytes(*workspace, (size_t)count_sides(exec, g) * compiled->side_bytes +
                                           n_results * sizeof(float));
    return FX_OK;
}

static enum fx_status compile_whole(const struct fx_cuda_exec *exec,
                                    const struct fx_conv_geometry *g, struct fx_compiled *compiled,
                                    size_t *workspace, struct fx_err *err)
{
    struct fx_gemm *gemm = exec->program->model->device->gemm;
    struct fx_gemm_shape shape = fx_conv_product_of(exec, g, FX_CONV_WEIGHTS);

    for (int add = 0; add < 2; add++) {
        shape.add = add;
        FX_TRY(fx_gemm_plan_create(&compiled->weights[add], gemm, &shape, err));
        *workspace = max_bytes(*workspace, fx_gemm_plan_workspace(compiled->weights[add]));
    }
    return FX_OK;
}

enum fx_status fx_conv_compile_by_rule(const struct fx_cuda_exec *exec,
                                       const struct fx_conv_geometry *g,
                                       struct fx_compiled *compiled, size_t *workspace,
                                       struct fx_err *err)
{
    struct fx_gemm_shape shape = fx_conv_product_of(exec, g, FX_CONV_WEIGHTS);

    FX_TRY(compile_whole(exec, g, compiled, workspace, err));
    if (!exec->program->model->device->cuts_sums || count_parts(exec, &shape) == 1 ||
        fx_gemm_plan_splits(compiled->weights[0]))
        return FX_OK;
    return compile_parts(exec, g, compiled, workspace, err);
}

/* A lane's parts side by side; those of all lanes are added at the end. */
static enum fx_status launch_parts(const struct fx_cuda_exec *exec,
                                   const struct fx_conv_geometry *g,
                                   const struct fx_compiled *compiled, struct fx_err *err)
{
    const struct fx_device *device = exec->program->model->device;
    int n_sides = count_sides(exec, g);
    size_t lane_values = (size_t)compiled->n_parts * weight_values(g);
    float *parts = workspace_at(g, (size_t)n_sides * compiled->side_bytes);

    FX_TRY(fork(exec, n_sides, err));
    for (int lane = 0; lane < exec->launch.n_lanes; lane++) {
        int side = lane % n_sides;

        FX_TRY(fx_gemm_run(compiled->product, device->sides[first_side(exec) + side],
                           map_at(exec, &g->y, lane, 0), map_at(exec, &g->x, lane, 0),
                           parts + (size_t)lane * lane_values,
                           workspace_at(g, (size_t)side * compiled->side_bytes), err));
    }
    FX_TRY(join(exec, n_sides, err));
    FX_CUDA(fx_k_sum_parts(&exec->launch, parts, compiled->n_parts, weight_values(g), g->grad,
                           exec->accumulate));
    return FX_OK;
}

static enum fx_status launch_whole(const struct fx_cuda_exec *exec,
                                   const struct fx_conv_geometry *g,
                                   const struct fx_compiled *compiled, struct fx_err *err)
{
    return fx_gemm_run(compiled->weights[exec->accumulate], exec->launch.stream, g->y.data,
                       g->x.data, g->grad.data, g->workspace, err);
}

/* ---- cuDNN ---- */

/* A lane's weight gradient as cuDNN writes it, in bytes. */
static size_t fresh_bytes(const struct fx_cuda_exec *exec, const struct fx_conv_geometry *g)
{
    return fx_device_round(weight_values(g) * fx_cuda_value_bytes(exec->program->model->device));
}

enum fx_status fx_conv_compile_cudnn(const struct fx_cuda_exec *exec,
                                     const struct fx_conv_geometry *g,
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

enum fx_status fx_conv_launch_cudnn(const struct fx_cuda_exec *exec,
                                    const struct fx_conv_geometry *g, char *w, size_t w_lane,
                                    const struct fx_compiled *compiled, struct fx_err *err)
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
                            workspace_at(g, (size_t)side * compiled->side_bytes), err));
    }
    return join(exec, n_sides, err);
}

/* The gradient of the weights goes through the workspace: cuDNN writes it in the type of maps. */
static enum fx_status launch_cudnn_weights(const struct fx_cuda_exec *exec,
                                           const struct fx_conv_geometry *g,
                                           const struct fx_compiled *compiled, struct fx_err *err)
{
    size_t value = fx_cuda_value_bytes(exec->program->model->device);
    char *fresh = workspace_at(g, (size_t)count_sides(exec, g) * compiled->side_bytes);
    size_t fresh_lane = fresh_bytes(exec, g) / value;

    FX_TRY(fx_conv_launch_cudnn(exec, g, fresh, fresh_lane, compiled, err));
    FX_CUDA(
        fx_k_weight_grad(&exec->launch, &g->layout, fresh, fresh_lane, g->grad, exec->accumulate));
    return FX_OK;
}

/* ---- the ways of a weight gradient ---- */

enum fx_status fx_conv_compile_way(const struct fx_cuda_exec *exec,
                                   const struct fx_conv_geometry *g, enum fx_conv_way way,
                                   struct fx_compiled *compiled, size_t *workspace,
                                   struct fx_err *err)
{
    if (way == FX_CONV_WHOLE)
        return compile_whole(exec, g, compiled, workspace, err);
    if (way == FX_CONV_PARTS)
        return compile_parts(exec, g, compiled, workspace, err);
    return fx_conv_compile_cudnn(exec, g, FX_CONV_WEIGHTS, compiled, workspace, err);
}

enum fx_status fx_conv_launch_weights(const struct fx_cuda_exec *exec,
                                      const struct fx_conv_geometry *g,
                                      const struct fx_compiled *compiled, struct fx_err *err)
{
    if (compiled->conv)
        return launch_cudnn_weights(exec, g, compiled, err);
    return compiled->n_parts > 0 ? launch_parts(exec, g, compiled, err)
                                 : launch_whole(exec, g, compiled, err);
}
