/* Waiting passes, the copies before them, and their recordings as CUDA graphs. */
#include "backend/cuda/passes.h"

/* ---- what waits ---- */

enum fx_status fx_passes_want(struct fx_program *program, unsigned pass, struct fx_err *err)
{
    struct fx_model *model = program->model;

    if (model->passes && (model->pending != program || pass <= model->passes))
        FX_TRY(fx_passes_launch(model, err));
    model->pending = program;
    model->passes |= pass;
    return FX_OK;
}

void fx_passes_forget(struct fx_model *model)
{
    model->passes = 0;
}

/* ---- copies ---- */

struct fx_step_letters *fx_step_letters(struct fx_model *model)
{
    return &model->mailbox.steps[model->n_updates % 2];
}

/* What a step begins with: no losses, nothing found that is not finite. */
static enum fx_status clear_sums(const struct fx_model *model, struct fx_err *err)
{
    cudaStream_t stream = model->device->main;

    FX_CUDA(cudaMemsetAsync(model->losses, 0, sizeof *model->losses, stream));
    FX_CUDA(cudaMemsetAsync(model->not_finite, 0, sizeof *model->not_finite, stream));
    return FX_OK;
}

/* The host's side of the mailbox to the device; the block may be written again when `taken`. */
static enum fx_status send_batch(struct fx_model *model, struct fx_err *err)
{
    const struct fx_mailbox *mailbox = &model->mailbox;
    cudaStream_t stream = model->device->main;
    struct fx_value_shape s = model->graph->nodes[model->graph->input].shape;
    int turn = mailbox->turn;

    if (model->has_new_batch)
        FX_CUDA(cudaMemcpyAsync(model->batch, mailbox->batch[turn],
                                fx_batch_block_bytes(model->n_max), cudaMemcpyHostToDevice,
                                stream));
    if (model->has_new_pixels)
        FX_CUDA(cudaMemcpyAsync(model->pixels, mailbox->pixels[turn],
                                (size_t)model->pending->lowered.n * (size_t)fx_shape_elements(s) *
                                    sizeof(float),
                                cudaMemcpyHostToDevice, stream));
    if (model->has_new_batch || model->has_new_pixels)
        FX_CUDA(cudaEventRecord(mailbox->taken[turn], stream));
    model->has_new_batch = model->has_new_pixels = false;
    return FX_OK;
}

static enum fx_status send(struct fx_model *model, struct fx_err *err)
{
    if (model->starts_step)
        FX_TRY(clear_sums(model, err));
    model->starts_step = false;
    FX_TRY(send_batch(model, err));
    if (model->passes & FX_PASS_UPDATE)
        FX_CUDA(cudaMemcpyAsync(model->update, fx_step_letters(model)->update,
                                sizeof *model->update, cudaMemcpyHostToDevice,
                                model->device->main));
    return FX_OK;
}

/* ---- recordings ---- */

static struct fx_recording *find_recording(struct fx_program *program, unsigned passes)
{
    for (int i = 0; i < program->n_recordings; i++)
        if (program->recordings[i].passes == passes)
            return &program->recordings[i];
    if (program->n_recordings == FX_MAX_RECORDINGS)
        return NULL;
    program->recordings[program->n_recordings] = (struct fx_recording){ .passes = passes };
    return &program->recordings[program->n_recordings++];
}

static enum fx_status record(const struct fx_program *program, struct fx_recording *recording,
                             struct fx_err *err)
{
    cudaStream_t stream = program->model->device->main;
    cudaGraph_t graph = NULL;
    enum fx_status status;
    cudaError_t error;

    FX_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    status = fx_passes_issue(program, recording->passes, err);
    error = cudaStreamEndCapture(stream, &graph);
    if (status != FX_OK) {
        if (graph)
            cudaGraphDestroy(graph);
        return status;
    }
    FX_CUDA(error);
    error = cudaGraphInstantiate(&recording->exec, graph, 0);
    cudaGraphDestroy(graph);
    FX_CUDA(error);
    return FX_OK;
}

static enum fx_status launch(struct fx_program *program, unsigned passes, struct fx_err *err)
{
    const struct fx_device *device = program->model->device;
    bool records = device->records && !program->marks[program->batches[0].first];
    struct fx_recording *recording = records ? find_recording(program, passes) : NULL;

    if (!recording || recording->n_runs++ == 0)
        return fx_passes_issue(program, passes, err);
    if (!recording->exec)
        FX_TRY(record(program, recording, err));
    FX_CUDA(cudaGraphLaunch(recording->exec, device->main));
    return FX_OK;
}

enum fx_status fx_passes_launch(struct fx_model *model, struct fx_err *err)
{
    bool (*should_stop)(void) = model->device->options.should_stop;
    unsigned passes = model->passes;

    if (passes == 0)
        return FX_OK;
    if (should_stop && should_stop()) {
        model->passes = 0;
        return fx_fail(err, FX_ESTOPPED, "stopped");
    }
    FX_TRY(send(model, err));
    model->passes = 0;
    model->has_new_losses = true;
    return launch(model->pending, passes, err);
}

enum fx_status fx_passes_finish(struct fx_model *model, struct fx_err *err)
{
    FX_TRY(fx_passes_launch(model, err));
    FX_CUDA(cudaStreamSynchronize(model->device->main));
    return FX_OK;
}
