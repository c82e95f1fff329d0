/* Where the views, parameters and dropouts of an instruction lie on the device, for lane 0 of a
 * launch, and how far it is to the next lane. */
#include "backend/cuda/cuda_internal.h"

#include "ops/dropout.h"

size_t fx_cuda_value_bytes(const struct fx_device *device)
{
    return device->bf16 ? 2 : sizeof(float);
}

/* Bytes to the next lane's copy of something that belongs to `lane`: the head's things (the images
 * among them) are there once. */
static size_t lane_bytes(const struct fx_cuda_exec *exec, int lane)
{
    return lane == exec->program->lowered.n_lanes ? 0 : exec->batch->arena_bytes;
}

struct fx_k_map fx_cuda_map(const struct fx_cuda_exec *exec, const struct fx_view *view)
{
    const struct fx_lowered *lowered = &exec->program->lowered;
    size_t value = fx_cuda_value_bytes(exec->program->model->device);

    return (struct fx_k_map){
        .data = view->data,
        .lane = lane_bytes(exec, lowered->plan.buffers[view->buffer].lane) / value,
        .group = view->group_bytes / value,
        .group_c = view->group_blocks * FX_K_BLOCK,
        .c = view->c,
        .ld = (int)(view->image_bytes / ((size_t)view->area * value)),
    };
}

struct fx_k_array fx_cuda_dense(const struct fx_cuda_exec *exec, int node, bool gradient)
{
    const struct fx_lowered *lowered = &exec->program->lowered;
    const struct fx_node_state *state = &lowered->nodes[node];
    const struct fx_view *view = gradient ? &state->gradient : &state->value;

    if (view->buffer < 0)
        return (struct fx_k_array){ 0 };
    return (struct fx_k_array){
        .data = view->data,
        .lane = lane_bytes(exec, lowered->plan.buffers[view->buffer].lane) / sizeof(float),
    };
}

struct fx_k_grad fx_cuda_dense_grad(const struct fx_cuda_exec *exec, int node, bool add)
{
    struct fx_k_array array = fx_cuda_dense(exec, node, true);

    return (struct fx_k_grad){ .data = array.data, .lane = array.lane, .add = add };
}

struct fx_k_array fx_cuda_param(const struct fx_cuda_exec *exec, int param,
                                enum fx_tensor_role role)
{
    const struct fx_model *model = exec->program->model;
    bool is_weight = fx_param_is_weight(&model->graph->params[param]);

    return (struct fx_k_array){
        .data = fx_device_store_at(&model->store, param, role),
        .lane = is_weight ? exec->batch->trained_lane : exec->batch->running_lane,
    };
}

struct fx_k_grad fx_cuda_param_grad(const struct fx_cuda_exec *exec, int param)
{
    struct fx_k_array array = fx_cuda_param(exec, param, FX_ROLE_GRAD);

    if (exec->program->model->graph->params[param].kind == FX_PARAM_FIXED)
        return (struct fx_k_grad){ 0 };
    return (struct fx_k_grad){ .data = array.data, .lane = array.lane, .add = exec->accumulate };
}

void *fx_cuda_weight(const struct fx_cuda_exec *exec, int param)
{
    const struct fx_device_store *store = &exec->program->model->store;

    return exec->launch.bf16 ? fx_device_store_shadow(store, param)
                             : (void *)fx_device_store_at(store, param, FX_ROLE_VALUE);
}

struct fx_k_drop fx_cuda_drop(const struct fx_cuda_exec *exec, int node)
{
    const struct fx_node *n = &exec->program->model->graph->nodes[node];

    return (struct fx_k_drop){
        .view = exec->images,
        .word = fx_dropout_of(n, 0, 0).word,
        .p = exec->program->lowered.mode == FX_TRAIN ? n->p : 0,
        .c = n->shape.c,
        .area = n->shape.h * n->shape.w * n->shape.tokens,
    };
}

struct fx_k_mask fx_cuda_mask(const struct fx_cuda_exec *exec, int node, bool draws)
{
    const struct fx_mask *mask = &exec->program->lowered.nodes[node].mask;
    struct fx_k_mask k = { .bytes = mask->words,
                           .lane = exec->batch->arena_bytes,
                           .factor = mask->factor };

    if (draws)
        k.draw = fx_cuda_drop(exec, node);
    return k;
}

int fx_cuda_rows(const struct fx_cuda_exec *exec, const struct fx_view *view)
{
    return exec->program->lowered.n * view->area;
}

struct fx_gemm_shape fx_cuda_layer_product(const struct fx_cuda_exec *exec,
                                           enum fx_conv_direction direction, int rows, int c_in,
                                           int c_out, struct fx_gemm_matrix x,
                                           struct fx_gemm_matrix y)
{
    struct fx_gemm_matrix w = { c_in, exec->batch->trained_lane };
    struct fx_gemm_shape p = { .n_lanes = exec->launch.n_lanes,
                               .m = direction == FX_CONV_WEIGHTS ? c_out : rows,
                               .n = direction == FX_CONV_FORWARD ? c_out : c_in,
                               .k = direction == FX_CONV_FORWARD ? c_in : c_out,
                               .a = direction == FX_CONV_FORWARD ? x : y,
                               .b = direction == FX_CONV_WEIGHTS ? x : w,
                               .c = y,
                               .trans_a = direction == FX_CONV_WEIGHTS,
                               .trans_b = direction == FX_CONV_FORWARD,
                               .alpha = 1 };

    if (direction == FX_CONV_DATA)
        p.c = x;
    if (direction == FX_CONV_WEIGHTS) {
        p.k = rows;
        p.c = w;
    }
    return p;
}

void *fx_cuda_workspace(const struct fx_cuda_exec *exec, size_t offset)
{
    return exec->program->model->workspace[exec->queue] + fx_device_round(offset);
}
