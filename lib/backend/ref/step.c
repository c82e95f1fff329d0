/* The calls of a training step: the order of the nodes, what is zeroed when, and the back-end
 * table. */
#include "backend/backend.h"
#include "backend/ref/model_internal.h"
#include "backend/ref/node.h"
#include "ops/operators.h"

#include <string.h>

static size_t value_bytes(const struct fx_program *program, int node)
{
    const struct fx_node *n = &program->model->graph->nodes[node];

    return (size_t)program->n * (size_t)fx_shape_elements(n->shape) * sizeof(float);
}

static enum fx_status check_stop(const struct fx_program *program, struct fx_err *err)
{
    bool (*should_stop)(void) = program->model->device->options.should_stop;

    if (should_stop && should_stop())
        return fx_fail(err, FX_ESTOPPED, "stopped");
    return FX_OK;
}

static enum fx_status input(struct fx_program *program, const struct fx_batch *batch,
                            struct fx_err *err)
{
    int node = program->model->graph->input;

    if (batch->n != program->n)
        return fx_fail(err, FX_EUSAGE, "device ref: a batch of %d for a program of %d", batch->n,
                       program->n);
    program->batch = *batch;
    if (batch->pixels)
        memcpy(fx_ref_value(program, node), batch->pixels, value_bytes(program, node));
    return FX_OK;
}

/* A node with its memory. */
static struct fx_operands operands_of(const struct fx_program *program, int number)
{
    const struct fx_model *model = program->model;
    const struct fx_node *node = &model->graph->nodes[number];
    struct fx_operands o = { .graph = model->graph,
                             .node = node,
                             .n = program->n,
                             .mode = program->mode,
                             .batch = &program->batch,
                             .y = fx_ref_value(program, number),
                             .dy = fx_ref_gradient(program, number),
                             .statistics = fx_ref_statistics(program, number),
                             .row = model->workspace.base };

    for (int i = 0; i < node->n_inputs; i++) {
        o.x[i] = fx_ref_value(program, node->inputs[i]);
        o.dx[i] = fx_ref_gradient(program, node->inputs[i]);
    }
    for (int i = 0; i < node->n_params; i++) {
        int param = node->params[i];

        o.w[i] = fx_store_at(&model->step.store, param, FX_ROLE_VALUE);
        if (program->mode == FX_TRAIN && model->graph->params[param].kind == FX_PARAM_TRAINED)
            o.dw[i] = fx_store_at(&model->step.store, param, FX_ROLE_GRAD);
    }
    return o;
}

/* Hands the batch statistics of a BATCHNORM node to the store, in f32 and unbiased. */
static void gather_statistics(struct fx_program *program, int number)
{
    const struct fx_node *node = &program->model->graph->nodes[number];
    struct fx_batchnorm k = fx_node_batchnorm(node, program->n);
    const double *statistics = fx_ref_statistics(program, number);
    float *mean = program->model->workspace.base, *var = mean + k.c;

    for (int c = 0; c < k.c; c++) {
        mean[c] = (float)statistics[c];
        var[c] = (float)fx_batchnorm_unbiased(&k, statistics[k.c + c]);
    }
    fx_store_gather(&program->model->step.store, node, mean, var);
}

static enum fx_status forward(struct fx_program *program, struct fx_err *err)
{
    const struct fx_graph *graph = program->model->graph;

    for (int i = 0; i < graph->n_nodes; i++) {
        struct fx_operands o = operands_of(program, i);

        FX_TRY(check_stop(program, err));
        fx_node_forward(&o);
        if (program->mode == FX_TRAIN && graph->nodes[i].kind == FX_NODE_BATCHNORM &&
            !fx_graph_is_fixed(graph, &graph->nodes[i]))
            gather_statistics(program, i);
    }
    if (program->mode == FX_TRAIN)
        fx_store_forward_done(&program->model->step.store);
    return FX_OK;
}

static enum fx_status loss(struct fx_program *program, const struct fx_loss_config *config,
                           struct fx_err *err)
{
    const struct fx_graph *graph = program->model->graph;
    struct fx_heads heads = { .n = program->n,
                              .n_classes = graph->n_classes,
                              .n_experts = graph->n_experts };
    struct fx_targets targets = fx_batch_targets(&program->batch);

    if (graph->fused >= 0) {
        heads.fused = fx_ref_value(program, graph->fused);
        heads.d_fused = fx_ref_gradient(program, graph->fused);
    }
    for (int k = 0; k < graph->n_experts; k++) {
        heads.experts[k] = fx_ref_value(program, graph->logits[k]);
        heads.d_experts[k] = fx_ref_gradient(program, graph->logits[k]);
    }
    fx_loss_heads(&heads, &targets, config, &program->model->step.losses);
    return check_stop(program, err);
}

/* Gradients of values start at zero, except those that loss (or a test) has written. */
static void clear_gradients(struct fx_program *program, bool accumulate)
{
    struct fx_model *model = program->model;

    for (int i = 0; i < model->graph->n_nodes; i++)
        if (!model->is_output[i] && fx_ref_gradient(program, i))
            memset(fx_ref_gradient(program, i), 0, value_bytes(program, i));
    if (!accumulate && model->step.store.grads)
        memset(model->step.store.grads, 0, model->step.store.layout.n_trained * sizeof(float));
}

static enum fx_status backward(struct fx_program *program, bool accumulate, struct fx_err *err)
{
    if (program->mode != FX_TRAIN)
        return fx_fail(err, FX_EUSAGE, "device ref: an evaluation program has no backward pass");
    clear_gradients(program, accumulate);
    for (int i = program->model->graph->n_nodes - 1; i >= 0; i--) {
        struct fx_operands o = operands_of(program, i);

        FX_TRY(check_stop(program, err));
        if (o.dy)
            fx_node_backward(&o);
    }
    return FX_OK;
}

static enum fx_status update(struct fx_program *program, const struct fx_update *config,
                             const struct fx_sgd *sgd, struct fx_err *err)
{
    struct fx_model *model = program->model;

    return fx_host_update(&model->step.store, &model->step.losses, config, sgd, &fx_parallel_serial,
                          &model->step.result, err);
}

/* The memory of a value or gradient that a test asks for. */
static enum fx_status find_value(const struct fx_program *program, int node, bool gradient,
                                 float **at, struct fx_err *err)
{
    *at = gradient ? fx_ref_gradient(program, node) : fx_ref_value(program, node);
    if (!*at)
        return fx_fail(err, FX_EUSAGE, "device ref: node %d has no gradient", node);
    return FX_OK;
}

static enum fx_status value_read(struct fx_program *program, int node, bool gradient, float *data,
                                 struct fx_err *err)
{
    float *at;

    FX_TRY(find_value(program, node, gradient, &at, err));
    memcpy(data, at, value_bytes(program, node));
    return FX_OK;
}

static enum fx_status value_write(struct fx_program *program, int node, bool gradient,
                                  const float *data, struct fx_err *err)
{
    float *at;

    FX_TRY(find_value(program, node, gradient, &at, err));
    memcpy(at, data, value_bytes(program, node));
    return FX_OK;
}

const struct fx_backend fx_backend_ref = {
    .name = "ref",
    .applies_rows = false,
    .device_open = fx_ref_device_open,
    .device_close = fx_ref_device_close,
    .dataset_load = NULL,
    .model_create = fx_ref_model_create,
    .model_destroy = fx_ref_model_destroy,
    .model_memory = fx_ref_model_memory,
    .model_allocate = fx_ref_model_allocate,
    .program_create = fx_ref_program_create,
    .tensor_write = fx_host_tensor_write,
    .tensor_read = fx_host_tensor_read,
    .averages_swap = fx_host_averages_swap,
    .input = input,
    .forward = forward,
    .loss = loss,
    .backward = backward,
    .update = update,
    .step_end = fx_host_step_end,
    .step_begin = fx_host_step_begin,
    .losses_read = fx_host_losses_read,
    .value_read = value_read,
    .value_write = value_write,
};
