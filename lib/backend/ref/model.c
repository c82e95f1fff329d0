/* Making devices, models and programs of the ref back end, and the plan of their memory. */
#include "backend/ref/model_internal.h"

#include <stdlib.h>
#include <string.h>

enum fx_status fx_ref_device_open(struct fx_device **device,
                                  const struct fx_device_options *options, struct fx_err *err)
{
    if (options->precision != FX_PRECISION_FP32)
        return fx_fail(err, FX_EDEVICE, "device ref: computes in fp32 only");
    *device = calloc(1, sizeof **device);
    if (!*device)
        return fx_fail(err, FX_EFAIL, "device ref: out of memory");
    (*device)->options = *options;
    return FX_OK;
}

void fx_ref_device_close(struct fx_device *device)
{
    free(device);
}

void fx_ref_model_destroy(struct fx_model *model)
{
    if (!model)
        return;
    while (model->programs) {
        struct fx_program *program = model->programs;

        model->programs = program->next;
        free(program->offsets);
        free(program);
    }
    fx_arena_destroy(&model->activations);
    fx_arena_destroy(&model->workspace);
    fx_store_fini(&model->step.store);
    free(model->is_output);
    free(model);
}

/* Fills is_output: what nobody reads, and the heads, which the residual reads as well. */
static void find_outputs(struct fx_model *model)
{
    for (int i = 0; i < model->graph->n_nodes; i++)
        model->is_output[i] = true;
    for (int i = 0; i < model->graph->n_nodes; i++)
        for (int j = 0; j < model->graph->nodes[i].n_inputs; j++) {
            int x = model->graph->nodes[i].inputs[j];

            model->is_output[x] = fx_graph_is_head(model->graph, x);
        }
}

enum fx_status fx_ref_model_create(struct fx_model **out, struct fx_device *device,
                                   const struct fx_graph *graph, bool trains, struct fx_err *err)
{
    struct fx_model *model = calloc(1, sizeof *model);
    enum fx_status status;

    *out = NULL;
    if (!model)
        return fx_fail(err, FX_EFAIL, "device ref: out of memory for the model");
    model->device = device;
    model->graph = graph;
    FX_TRY_OUT(fx_store_init(&model->step.store, graph, trains, NULL, err));
    model->is_output = calloc((size_t)graph->n_nodes + 1, sizeof *model->is_output);
    if (!model->is_output) {
        status = fx_fail(err, FX_EFAIL, "device ref: out of memory for the model");
        goto out;
    }
    find_outputs(model);
    *out = model;
    return FX_OK;
out:
    fx_ref_model_destroy(model);
    return status;
}

void fx_ref_model_memory(const struct fx_model *model, struct fx_memory *memory)
{
    *memory = (struct fx_memory){ 0 };
    fx_store_layout_memory(&model->step.store.layout, memory);
    memory->activations = model->activation_bytes;
    memory->workspace = model->workspace_bytes;
}

enum fx_status fx_ref_model_allocate(struct fx_model *model, struct fx_err *err)
{
    if (model->step.store.is_allocated)
        return fx_fail(err, FX_EUSAGE, "device ref: the model has its memory already");
    FX_TRY(fx_store_allocate(&model->step.store, err));
    FX_TRY(fx_arena_create(&model->activations, model->activation_bytes, "activations", err));
    fx_arena_spoil(&model->activations);
    FX_TRY(fx_arena_create(&model->workspace, model->workspace_bytes, "workspace", err));
    fx_arena_spoil(&model->workspace);
    return FX_OK;
}

/* Takes n_bytes from the plan. */
static size_t take(size_t *used, size_t n_bytes)
{
    size_t at = *used;

    *used += fx_arena_round(n_bytes);
    return at;
}

/* A gradient is wanted where something that trains lies behind it, or images whose own gradient is
 * wanted.  Those of the inputs are decided. */
static bool wants_gradient(const struct fx_program *program, const struct fx_node *node)
{
    const struct fx_graph *graph = program->model->graph;
    bool wants = node->n_params > 0 && !fx_graph_is_fixed(graph, node);

    if (node->kind == FX_NODE_INPUT)
        wants = graph->input_gradients;
    for (int i = 0; i < node->n_inputs; i++)
        wants = wants || program->offsets[node->inputs[i]].gradient != FX_REF_NONE;
    return wants && program->mode == FX_TRAIN;
}

/* Gives every node its offsets; returns the bytes of the whole arena. */
static size_t plan_activations(struct fx_program *program)
{
    const struct fx_graph *graph = program->model->graph;
    size_t used = 0;

    for (int i = 0; i < graph->n_nodes; i++) {
        const struct fx_node *node = &graph->nodes[i];
        struct fx_ref_offsets *at = &program->offsets[i];
        size_t n_bytes =
            (size_t)program->n * (size_t)fx_shape_elements(node->shape) * sizeof(float);

        *at = (struct fx_ref_offsets){ take(&used, n_bytes), FX_REF_NONE, FX_REF_NONE };
        if (wants_gradient(program, node))
            at->gradient = take(&used, n_bytes);
        if (node->kind == FX_NODE_BATCHNORM)
            at->statistics = take(&used, 2 * (size_t)node->shape.c * sizeof(double));
    }
    return used;
}

/* The only scratch: a row of doubles for the convolutions, two rows of floats for the statistics
 * handed to the store. */
static size_t plan_workspace(const struct fx_graph *graph)
{
    size_t n_bytes = 0;

    for (int i = 0; i < graph->n_nodes; i++) {
        struct fx_value_shape s = graph->nodes[i].shape;
        size_t row = (size_t)s.w * sizeof(double), statistics = 2 * (size_t)s.c * sizeof(float);

        n_bytes = row > n_bytes ? row : n_bytes;
        n_bytes = statistics > n_bytes ? statistics : n_bytes;
    }
    return fx_arena_round(n_bytes);
}

enum fx_status fx_ref_program_create(struct fx_program **out, struct fx_model *model,
                                     enum fx_mode mode, int n, struct fx_err *err)
{
    struct fx_program *program;
    size_t n_bytes;

    *out = NULL;
    if (model->step.store.is_allocated)
        return fx_fail(err, FX_EUSAGE, "device ref: programs are made before the memory");
    if (n < 1 || (mode == FX_TRAIN && !model->step.store.layout.trains))
        return fx_fail(err, FX_EUSAGE, "device ref: no such program (batch %d)", n);
    program = calloc(1, sizeof *program);
    if (!program)
        return fx_fail(err, FX_EFAIL, "device ref: out of memory for a program");
    program->offsets = calloc((size_t)model->graph->n_nodes, sizeof *program->offsets);
    if (!program->offsets) {
        free(program);
        return fx_fail(err, FX_EFAIL, "device ref: out of memory for a program");
    }
    program->model = model;
    program->mode = mode;
    program->n = n;
    program->next = model->programs;
    model->programs = program;
    n_bytes = plan_activations(program);
    if (n_bytes > model->activation_bytes)
        model->activation_bytes = n_bytes;
    model->workspace_bytes = plan_workspace(model->graph);
    *out = program;
    return FX_OK;
}

/* An address in the activation arena, NULL for none. */
static void *at(const struct fx_program *program, size_t offset)
{
    return offset == FX_REF_NONE ? NULL : (char *)program->model->activations.base + offset;
}

float *fx_ref_value(const struct fx_program *program, int node)
{
    return at(program, program->offsets[node].value);
}

float *fx_ref_gradient(const struct fx_program *program, int node)
{
    return at(program, program->offsets[node].gradient);
}

double *fx_ref_statistics(const struct fx_program *program, int node)
{
    return at(program, program->offsets[node].statistics);
}
