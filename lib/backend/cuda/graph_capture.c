/* The launch queue: queued passes, the copies before them, and their captures as CUDA graphs. */
#include "backend/cuda/graph_capture_internal.h"

#include "base/log.h"

/* ---- what waits ---- */

enum fx_status fx_queue_add(struct fx_program *program, unsigned pass, struct fx_err *err)
{
    struct fx_model *model = program->model;

    if (model->queued && (model->queued_program != program || pass <= model->queued))
        FX_TRY(fx_queue_launch(model, err));
    model->queued_program = program;
    model->queued |= pass;
    return FX_OK;
}

void fx_queue_clear(struct fx_model *model)
{
    model->queued = 0;
}

/* ---- copies ---- */

struct fx_step_staging *fx_next_step_staging(struct fx_model *model)
{
    return &model->staging.steps[model->n_updates % 2];
}

/* What a step begins with: no losses, nothing found that is not finite. */
static enum fx_status clear_sums(const struct fx_model *model, struct fx_err *err)
{
    cudaStream_t stream = model->device->main;

    FX_CUDA(cudaMemsetAsync(model->losses, 0, sizeof *model->losses, stream));
    FX_CUDA(cudaMemsetAsync(model->not_finite, 0, sizeof *model->not_finite, stream));
    return FX_OK;
}

/* The current slot of the staging buffers to the device; the block may be written again when
 * `copied`. */
static enum fx_status send_batch(struct fx_model *model, struct fx_err *err)
{
    const struct fx_staging *staging = &model->staging;
    cudaStream_t stream = model->device->main;
    struct fx_value_shape s = model->graph->nodes[model->graph->input].shape;
    int slot = staging->slot;

    if (model->has_new_batch)
        FX_CUDA(cudaMemcpyAsync(model->batch, staging->batch[slot],
                                fx_batch_block_bytes(model->n_max), cudaMemcpyHostToDevice,
                                stream));
    if (model->has_new_pixels)
        FX_CUDA(cudaMemcpyAsync(model->pixels, staging->pixels[slot],
                                (size_t)model->queued_program->lowered.n *
                                    (size_t)fx_shape_elements(s) * sizeof(float),
                                cudaMemcpyHostToDevice, stream));
    if (model->has_new_batch || model->has_new_pixels)
        FX_CUDA(cudaEventRecord(staging->copied[slot], stream));
    model->has_new_batch = model->has_new_pixels = false;
    return FX_OK;
}

static enum fx_status send(struct fx_model *model, struct fx_err *err)
{
    if (model->starts_step)
        FX_TRY(clear_sums(model, err));
    model->starts_step = false;
    FX_TRY(send_batch(model, err));
    if (model->queued & FX_PASS_UPDATE)
        FX_CUDA(cudaMemcpyAsync(model->update, fx_next_step_staging(model)->update,
                                sizeof *model->update, cudaMemcpyHostToDevice,
                                model->device->main));
    return FX_OK;
}

/* ---- captures ---- */

static struct fx_capture *find_capture(struct fx_program *program, unsigned passes)
{
    for (int i = 0; i < program->n_captures; i++)
        if (program->captures[i].passes == passes)
            return &program->captures[i];
    if (program->n_captures == FX_MAX_CAPTURES)
        return NULL;
    program->captures[program->n_captures] = (struct fx_capture){ .passes = passes };
    return &program->captures[program->n_captures++];
}

static void log_nodes(cudaGraph_t graph, int n_images)
{
    size_t n = 0;

    if (cudaGraphGetNodes(graph, NULL, &n) == cudaSuccess)
        fx_log_verbose("device cuda: recorded as a graph of %zu nodes, for %d images", n, n_images);
}

/* Nodes keep the priorities of the streams that they were captured from. */
static enum fx_status record(const struct fx_program *program, struct fx_capture *capture,
                             struct fx_err *err)
{
    cudaStream_t stream = program->model->device->main;
    cudaGraph_t graph = NULL;
    enum fx_status status;
    cudaError_t error;

    FX_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    status = fx_launch_passes(program, capture->passes, err);
    error = cudaStreamEndCapture(stream, &graph);
    if (status != FX_OK) {
        if (graph)
            cudaGraphDestroy(graph);
        return status;
    }
    FX_CUDA(error);
    log_nodes(graph, program->lowered.n);
    error = cudaGraphInstantiate(&capture->exec, graph, cudaGraphInstantiateFlagUseNodePriority);
    cudaGraphDestroy(graph);
    FX_CUDA(error);
    return FX_OK;
}

/* A call that cannot be captured, of a driver or a library, costs speed and not the run: nothing
 * has been executed of what was to be recorded, and it can be launched as it is. */
static void do_without_graphs(struct fx_device *device, const struct fx_err *why)
{
    device->uses_graphs = false;
    cudaGetLastError(); /* is not that of a later call */
    fx_log_warn("%s while a step was recorded as a CUDA graph: kernels are launched one by one, "
                "with the same results, more slowly",
                why->msg);
}

static enum fx_status launch(struct fx_program *program, unsigned passes, struct fx_err *err)
{
    struct fx_device *device = program->model->device;
    struct fx_err why = { 0 };
    bool captures_step = device->uses_graphs && !program->marks[program->batches[0].first];
    struct fx_capture *capture = captures_step ? find_capture(program, passes) : NULL;

    if (!capture || capture->n_runs++ == 0)
        return fx_launch_passes(program, passes, err);
    if (!capture->exec && record(program, capture, &why) != FX_OK) {
        do_without_graphs(device, &why);
        return fx_launch_passes(program, passes, err);
    }
    FX_CUDA(cudaGraphLaunch(capture->exec, device->main));
    return FX_OK;
}

enum fx_status fx_queue_launch(struct fx_model *model, struct fx_err *err)
{
    bool (*should_stop)(void) = model->device->options.should_stop;
    unsigned passes = model->queued;

    if (passes == 0)
        return FX_OK;
    if (should_stop && should_stop()) {
        model->queued = 0;
        return fx_fail(err, FX_ESTOPPED, "stopped");
    }
    FX_TRY(send(model, err));
    model->queued = 0;
    model->has_new_losses = true;
    return launch(model->queued_program, passes, err);
}

enum fx_status fx_queue_finish(struct fx_model *model, struct fx_err *err)
{
    FX_TRY(fx_queue_launch(model, err));
    FX_CUDA(cudaStreamSynchronize(model->device->main));
    return FX_OK;
}
