/* What each pass of a step launches, kernel by kernel. */
#include "backend/cuda/graph_capture_internal.h"
#include "backend/cuda/wgrad_stream_internal.h"

/* ---- instructions ---- */

static enum fx_status launch_batch(const struct fx_program *program,
                                   const struct fx_lane_batch *batch, bool is_backward,
                                   bool accumulate, struct fx_err *err)
{
    const struct fx_instr_list *list = &program->lowered.lanes[batch->first];
    struct fx_cuda_exec exec = fx_cuda_exec_of(program, batch);
    struct fx_wgrad_stream wgrad = { .device = program->model->device,
                                     .is_used = program->model->device->has_wgrad_stream &&
                                                !program->marks[batch->first] };
    int first = is_backward ? list->n_forward : 0;
    int end = is_backward ? list->n_instrs : list->n_forward;

    exec.accumulate = accumulate;
    FX_TRY(fx_cuda_mark(program, batch, first, is_backward, err));
    for (int i = first; i < end; i++) {
        const struct fx_instr *instr = &list->instrs[i];
        const struct fx_compiled *compiled = &program->compiled[batch->first][i];

        FX_TRY(fx_wgrad_begin(&wgrad, &exec, instr, compiled, err));
        if (fx_cuda_operator_of(instr->op)->launch(&exec, instr, compiled, err) != FX_OK)
            return fx_err_prepend(err, "%s: ", fx_opcode_name(instr->op));
        FX_TRY(fx_wgrad_end(&wgrad, &exec, err));
        FX_TRY(fx_cuda_mark(program, batch, i + 1, is_backward, err));
    }
    return fx_wgrad_join(&wgrad, wgrad.n_launched, err);
}

/* The forward or the backward pass, on the main stream. */
static enum fx_status launch_instrs(const struct fx_program *program, bool is_backward,
                                    bool accumulate, struct fx_err *err)
{
    int n = program->n_batches + 1; /* the head's is the last: first in the backward pass */

    for (int i = 0; i < n; i++)
        FX_TRY(launch_batch(program, &program->batches[is_backward ? n - 1 - i : i], is_backward,
                            accumulate, err));
    return FX_OK;
}

/* ---- passes ---- */

static struct fx_k_batch_view images_of(const struct fx_model *model)
{
    return fx_batch_block_view(model->batch, model->n_max);
}

static struct fx_k_launch launch_of(const struct fx_model *model)
{
    return (struct fx_k_launch){ .stream = model->device->main,
                                 .n_lanes = 1,
                                 .bf16 = model->device->bf16 };
}

/* The INPUT node's map: the head's, so there is one for all lanes. */
static struct fx_k_map input_map(const struct fx_program *program)
{
    const struct fx_lowered *lowered = &program->lowered;
    struct fx_cuda_exec exec = { .program = program,
                                 .batch = &program->batches[program->n_batches] };

    return fx_cuda_map(&exec, &lowered->nodes[lowered->graph->input].value);
}

static enum fx_status input_rows(const struct fx_program *program, struct fx_err *err)
{
    const struct fx_model *model = program->model;
    const struct fx_resident *resident = model->device->resident;
    struct fx_k_batch_view images = images_of(model);
    struct fx_k_launch launch = launch_of(model);
    struct fx_k_map map = input_map(program);
    int n = program->lowered.n;

    FX_CUDA(
        fx_k_augment(launch.stream, &images, n, fx_resident_images(resident), model->augmented));
    FX_CUDA(fx_k_input(&launch, &images, n, model->augmented, fx_resident_mean(resident),
                       fx_resident_std(resident), &map));
    return FX_OK;
}

static enum fx_status input_pixels(const struct fx_program *program, struct fx_err *err)
{
    const struct fx_model *model = program->model;
    struct fx_value_shape s = model->graph->nodes[model->graph->input].shape;
    struct fx_k_launch launch = launch_of(model);
    struct fx_k_map map = input_map(program);

    FX_CUDA(fx_k_pixels(&launch, model->pixels, program->lowered.n, s.c, s.h, s.w, &map));
    return FX_OK;
}

static enum fx_status forward(const struct fx_program *program, struct fx_err *err)
{
    const struct fx_model *model = program->model;
    const struct fx_device_store *store = &model->store;

    FX_TRY(launch_instrs(program, false, false, err));
    if (program->lowered.mode == FX_TRAIN && program->n_running > 0)
        FX_CUDA(fx_k_running_gather(model->device->main, program->running, program->n_running,
                                    images_of(model).batch, store->running, store->pending,
                                    model->not_finite));
    return FX_OK;
}

/* The head's logits, or an expert's, or their gradients; NULL in evaluation. */
static float *logits_of(const struct fx_program *program, int node, bool gradient)
{
    const struct fx_node_state *state = &program->lowered.nodes[node];

    if (!gradient)
        return state->value.data;
    return program->lowered.mode == FX_TRAIN ? state->gradient.data : NULL;
}

static enum fx_status loss(const struct fx_program *program, struct fx_err *err)
{
    const struct fx_model *model = program->model;
    const struct fx_graph *graph = model->graph;
    struct fx_k_batch_view images = images_of(model);
    struct fx_heads heads = { .n = program->lowered.n,
                              .n_classes = graph->n_classes,
                              .n_experts = graph->n_experts };

    if (graph->fused >= 0) {
        heads.fused = logits_of(program, graph->fused, false);
        heads.d_fused = logits_of(program, graph->fused, true);
    }
    for (int k = 0; k < graph->n_experts; k++) {
        heads.experts[k] = logits_of(program, graph->logits[k], false);
        heads.d_experts[k] = logits_of(program, graph->logits[k], true);
    }
    FX_CUDA(fx_k_loss(model->device->main, &heads, &images, model->losses,
                      model->workspace[FX_CUDA_MAIN]));
    return FX_OK;
}

static enum fx_status update(const struct fx_program *program, struct fx_err *err)
{
    const struct fx_model *model = program->model;
    const struct fx_device_store *store = &model->store;
    const struct fx_store_layout *layout = &store->layout;
    cudaStream_t stream = model->device->main;

    FX_CUDA(fx_k_square_sums(stream, store->chunks, layout->n_chunks, store->roles[FX_ROLE_GRAD],
                             store->partials));
    FX_CUDA(fx_k_norms(stream, store->chunks, layout->n_chunks, store->partials, model->update,
                       model->losses, model->not_finite, model->result));
    FX_CUDA(fx_k_optimize(stream, store->chunks, layout->n_chunks, model->update, model->result,
                          store->roles[FX_ROLE_VALUE] + layout->n_fixed, store->roles[FX_ROLE_GRAD],
                          store->roles[FX_ROLE_EXP_AVG], store->roles[FX_ROLE_EXP_AVG_SQ],
                          fx_device_store_trained_shadow(store)));
    if (layout->gathers)
        FX_CUDA(fx_k_running_commit(stream, model->result, store->pending, store->running,
                                    layout->n_running));
    if (!layout->averages)
        return FX_OK;
    FX_CUDA(fx_k_average(stream, model->update, model->result, store->roles[FX_ROLE_AVERAGE],
                         store->roles[FX_ROLE_VALUE] + layout->n_fixed, layout->n_trained));
    FX_CUDA(fx_k_average(stream, model->update, model->result, store->running_average,
                         store->running, layout->n_running));
    return FX_OK;
}

enum fx_status fx_launch_passes(const struct fx_program *program, unsigned passes,
                                struct fx_err *err)
{
    if (passes & FX_PASS_ROWS)
        FX_TRY(input_rows(program, err));
    if (passes & FX_PASS_PIXELS)
        FX_TRY(input_pixels(program, err));
    if (passes & FX_PASS_FORWARD)
        FX_TRY(forward(program, err));
    if (passes & FX_PASS_LOSS)
        FX_TRY(loss(program, err));
    if (passes & (FX_PASS_BACKWARD | FX_PASS_ACCUMULATE))
        FX_TRY(launch_instrs(program, true, passes & FX_PASS_ACCUMULATE, err));
    if (passes & FX_PASS_UPDATE)
        FX_TRY(update(program, err));
    return FX_OK;
}
