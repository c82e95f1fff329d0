/* The calls of a step on a CUDA device, and the back-end table.
 *
 * input, forward, loss and backward only record passes in the launch queue (graph_capture.c) and
 * write the batch and its settings into the current staging slot.  update launches all of it, then
 * enqueues the copy of losses and result back to the host.  step_end waits for that copy.
 *
 * Two steps may be in flight: the host prepares and launches step n + 1 while the device runs step
 * n. So every staging buffer has two slots, and the host waits (cudaEventSynchronize) before it
 * writes a slot until the device has copied what was in it.
 *
 * Divergence is decided on the device, since the host sees a step's norm and losses only when the
 * next step is launched already.  The device then skips the update (result->skip) and goes on
 * skipping those of queued steps, until the host has seen it and clears the flag (refuse). */
#include "backend/backend.h"
#include "backend/cuda/graph_capture_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- input ---- */

/* To the other staging slot, once the device has copied what it held. */
static enum fx_status next_slot(struct fx_staging *staging, struct fx_err *err)
{
    staging->slot = !staging->slot;
    FX_CUDA(cudaEventSynchronize(staging->copied[staging->slot]));
    return FX_OK;
}

static enum fx_status input(struct fx_program *program, const struct fx_batch *batch,
                            struct fx_err *err)
{
    struct fx_model *model = program->model;
    struct fx_staging *staging = &model->staging;
    struct fx_value_shape s = model->graph->nodes[model->graph->input].shape;
    bool has_rows = batch->rows && model->device->resident;

    if (batch->n != program->lowered.n)
        return fx_fail(err, FX_EUSAGE, "device cuda: a batch of %d for a program of %d", batch->n,
                       program->lowered.n);
    FX_TRY(fx_queue_launch(model, err));
    FX_TRY(next_slot(staging, err));
    fx_batch_block_fill(staging->batch[staging->slot], model->n_max, batch);
    model->has_new_batch = true;
    if (batch->pixels) {
        memcpy(staging->pixels[staging->slot], batch->pixels,
               (size_t)batch->n * (size_t)fx_shape_elements(s) * sizeof(float));
        model->has_new_pixels = true;
        return fx_queue_add(program, FX_PASS_PIXELS, err);
    }
    return has_rows ? fx_queue_add(program, FX_PASS_ROWS, err) : FX_OK;
}

/* ---- forward, loss, backward ---- */

/* The block of the batch at hand, to be changed before the next launch. */
static enum fx_status change_batch(struct fx_model *model, struct fx_k_batch **batch,
                                   struct fx_err *err)
{
    struct fx_staging *staging = &model->staging;

    if (!model->has_new_batch)
        FX_CUDA(cudaEventSynchronize(staging->copied[staging->slot]));
    model->has_new_batch = true;
    *batch = staging->batch[staging->slot];
    return FX_OK;
}

static enum fx_status forward(struct fx_program *program, struct fx_err *err)
{
    struct fx_model *model = program->model;
    struct fx_k_batch *batch = NULL;

    FX_TRY(fx_queue_add(program, FX_PASS_FORWARD, err));
    if (program->lowered.mode == FX_TRAIN) {
        FX_TRY(change_batch(model, &batch, err));
        batch->is_first = model->n_forwards++ == 0;
    }
    return FX_OK;
}

static enum fx_status loss(struct fx_program *program, const struct fx_loss_config *config,
                           struct fx_err *err)
{
    struct fx_k_batch *batch = NULL;

    FX_TRY(fx_queue_add(program, FX_PASS_LOSS, err));
    FX_TRY(change_batch(program->model, &batch, err));
    batch->loss = *config;
    return FX_OK;
}

static enum fx_status backward(struct fx_program *program, bool accumulate, struct fx_err *err)
{
    if (program->lowered.mode != FX_TRAIN)
        return fx_fail(err, FX_EUSAGE, "device cuda: an evaluation program has no backward pass");
    return fx_queue_add(program, accumulate ? FX_PASS_ACCUMULATE : FX_PASS_BACKWARD, err);
}

/* ---- update ---- */

static void describe_update(const struct fx_update *update, const struct fx_sgd *sgd,
                            struct fx_k_update *to)
{
    *to = (struct fx_k_update){ .clip = update->clip,
                                .grad_scale = update->grad_scale,
                                .average_step = (float)(1.0 - update->ema),
                                .is_sgd = sgd };
    for (int g = 0; g < FX_N_GROUPS; g++) {
        to->clip_group[g] = update->clip_group[g];
        if (sgd)
            to->sgd[g] = fx_sgd_momentum_of(update, sgd, update->lr[g], 1);
        else
            to->adamw[g] = fx_adamw_of(update, update->lr[g], 1);
    }
}

/* An update without a forward pass before it commits the running statistics as they are. */
static enum fx_status keep_running(const struct fx_model *model, struct fx_err *err)
{
    const struct fx_device_store *store = &model->store;

    if (model->n_forwards == 0 && store->layout.gathers)
        FX_CUDA(cudaMemcpyAsync(store->pending, store->running,
                                store->layout.n_running * sizeof(float), cudaMemcpyDeviceToDevice,
                                model->device->main));
    return FX_OK;
}

/* Enqueues the copy of the results behind the step that was launched. */
static enum fx_status send_results(struct fx_model *model, struct fx_err *err)
{
    struct fx_step_staging *staging = fx_next_step_staging(model);
    cudaStream_t stream = model->device->main;

    FX_CUDA(cudaMemcpyAsync(staging->losses, model->losses, sizeof *staging->losses,
                            cudaMemcpyDeviceToHost, stream));
    FX_CUDA(cudaMemcpyAsync(staging->result, model->result, sizeof *staging->result,
                            cudaMemcpyDeviceToHost, stream));
    FX_CUDA(cudaEventRecord(staging->done, stream));
    staging->n_forwards = model->n_forwards;
    model->n_forwards = 0;
    model->n_updates++;
    return FX_OK;
}

static enum fx_status update(struct fx_program *program, const struct fx_update *update,
                             const struct fx_sgd *sgd, struct fx_err *err)
{
    struct fx_model *model = program->model;

    if (model->n_updates - model->n_ended > 1)
        return fx_fail(err, FX_EUSAGE, "device cuda: two steps are in flight already");
    describe_update(update, sgd, fx_next_step_staging(model)->update);
    FX_TRY(keep_running(model, err));
    FX_TRY(fx_queue_add(program, FX_PASS_UPDATE, err));
    FX_TRY(fx_queue_launch(model, err));
    return send_results(model, err);
}

/* ---- results ---- */

/* The device has skipped the update of this step and of those queued behind it; it goes on when
 * `result` is cleared. */
static enum fx_status refuse(struct fx_model *model, int why, struct fx_err *err)
{
    static const char *const what[] = { NULL, "the loss", "the gradient", "a running statistic" };

    FX_CUDA(cudaMemsetAsync(model->result, 0, sizeof *model->result, model->device->main));
    FX_CUDA(cudaStreamSynchronize(model->device->main));
    model->n_ended = model->n_updates;
    return fx_fail(err, FX_EDIVERGED, "training diverged: %s is not finite", what[why]);
}

static enum fx_status step_end(struct fx_model *model, struct fx_step_result *result,
                               struct fx_err *err)
{
    const struct fx_step_staging *staging = &model->staging.steps[model->n_ended % 2];
    struct fx_device_store *store = &model->store;

    if (model->n_ended == model->n_updates)
        return fx_fail(err, FX_EUSAGE, "device cuda: no step is in flight");
    FX_CUDA(cudaEventSynchronize(staging->done));
    result->grad_norm = staging->result->grad_norm;
    result->losses = *staging->losses;
    if (staging->result->skip)
        return refuse(model, staging->result->skip, err);
    for (size_t i = 0; store->layout.gathers && i < store->layout.n_counters; i++)
        store->counters[i] += staging->n_forwards;
    model->n_ended++;
    return FX_OK;
}

static void step_begin(struct fx_model *model)
{
    fx_queue_clear(model);
    model->starts_step = true;
    model->has_new_losses = false;
    model->n_forwards = 0;
    memset(model->staging.sums, 0, sizeof *model->staging.sums);
}

static enum fx_status losses_read(struct fx_model *model, struct fx_losses *losses,
                                  struct fx_err *err)
{
    struct fx_losses *sums = model->staging.sums;
    cudaStream_t stream = model->device->main;

    FX_TRY(fx_queue_launch(model, err));
    if (model->has_new_losses) {
        FX_CUDA(cudaMemcpyAsync(sums, model->losses, sizeof *sums, cudaMemcpyDeviceToHost, stream));
        FX_CUDA(cudaStreamSynchronize(stream));
    }
    model->has_new_losses = false;
    *losses = *sums;
    return FX_OK;
}

/* ---- parameters ---- */

static enum fx_status tensor_write(struct fx_model *model, int param, enum fx_tensor_role role,
                                   const void *data, struct fx_err *err)
{
    FX_TRY(fx_queue_finish(model, err));
    return fx_device_store_write(&model->store, model->device->main, param, role, data, err);
}

static enum fx_status tensor_read(struct fx_model *model, int param, enum fx_tensor_role role,
                                  void *data, struct fx_err *err)
{
    FX_TRY(fx_queue_finish(model, err));
    return fx_device_store_read(&model->store, model->device->main, param, role, data, err);
}

static enum fx_status averages_swap(struct fx_model *model, struct fx_err *err)
{
    FX_TRY(fx_queue_finish(model, err));
    return fx_device_store_swap(&model->store, model->device->main, err);
}

/* Once: recorded graphs hold the address of the images. */
static enum fx_status dataset_load(struct fx_device *device, const struct fx_dataset *dataset,
                                   struct fx_err *err)
{
    if (device->resident)
        return fx_fail(err, FX_EUSAGE, "device cuda: the training images are loaded already");
    return fx_resident_create(&device->resident, dataset, device->main, err);
}

/* ---- values, for tests and logits ---- */

static enum fx_status find_value(const struct fx_program *program, int node, bool gradient,
                                 const struct fx_view **view, struct fx_err *err)
{
    const struct fx_node_state *state = &program->lowered.nodes[node];

    *view = gradient ? &state->gradient : &state->value;
    if ((*view)->buffer < 0 || !program->lowered.plan.buffers[(*view)->buffer].is_kept)
        return fx_fail(err, FX_EUSAGE, "device cuda: the %s of node %d is not kept",
                       gradient ? "gradient" : "value", node);
    return FX_OK;
}

/* A map through memory of its own: only tests read maps. */
static enum fx_status copy_map(const struct fx_program *program, int node,
                               const struct fx_view *view, float *out, const float *in,
                               struct fx_err *err)
{
    struct fx_model *model = program->model;
    struct fx_value_shape s = model->graph->nodes[node].shape;
    struct fx_cuda_exec exec = { .program = program,
                                 .batch = &program->batches[program->n_batches] };
    struct fx_k_launch l = { .stream = model->device->main,
                             .n_lanes = 1,
                             .bf16 = model->device->bf16 };
    size_t n_bytes = (size_t)program->lowered.n * (size_t)fx_shape_elements(s) * sizeof(float);
    struct fx_k_map map = fx_cuda_map(&exec, view);
    float *plain = NULL;
    cudaError_t error = cudaMalloc((void **)&plain, n_bytes);

    if (error == cudaSuccess && in)
        error = cudaMemcpyAsync(plain, in, n_bytes, cudaMemcpyHostToDevice, l.stream);
    if (error == cudaSuccess && in)
        error = fx_k_pixels(&l, plain, program->lowered.n, s.c, s.h, s.w, &map);
    if (error == cudaSuccess && out)
        error = fx_k_unpack_map(&l, &map, program->lowered.n, s.h, s.w, plain);
    if (error == cudaSuccess && out)
        error = cudaMemcpyAsync(out, plain, n_bytes, cudaMemcpyDeviceToHost, l.stream);
    if (error == cudaSuccess)
        error = cudaStreamSynchronize(l.stream);
    cudaFree(plain);
    FX_CUDA(error);
    return FX_OK;
}

static enum fx_status copy_dense(const struct fx_program *program, int node,
                                 const struct fx_view *view, float *out, const float *in,
                                 struct fx_err *err)
{
    cudaStream_t stream = program->model->device->main;
    struct fx_value_shape s = program->model->graph->nodes[node].shape;
    size_t n_bytes = (size_t)program->lowered.n * (size_t)fx_shape_elements(s) * sizeof(float);

    if (in)
        FX_CUDA(cudaMemcpyAsync(view->data, in, n_bytes, cudaMemcpyHostToDevice, stream));
    else
        FX_CUDA(cudaMemcpyAsync(out, view->data, n_bytes, cudaMemcpyDeviceToHost, stream));
    FX_CUDA(cudaStreamSynchronize(stream));
    return FX_OK;
}

static enum fx_status copy_value(struct fx_program *program, int node, bool gradient, float *out,
                                 const float *in, struct fx_err *err)
{
    const struct fx_view *view;

    FX_TRY(find_value(program, node, gradient, &view, err));
    FX_TRY(fx_queue_launch(program->model, err));
    return view->is_map ? copy_map(program, node, view, out, in, err)
                        : copy_dense(program, node, view, out, in, err);
}

static enum fx_status value_read(struct fx_program *program, int node, bool gradient, float *data,
                                 struct fx_err *err)
{
    return copy_value(program, node, gradient, data, NULL, err);
}

static enum fx_status value_write(struct fx_program *program, int node, bool gradient,
                                  const float *data, struct fx_err *err)
{
    return copy_value(program, node, gradient, NULL, data, err);
}

static void profile_print(struct fx_program *program, FILE *out)
{
    struct fx_err err = { 0 };

    if (fx_queue_finish(program->model, &err) == FX_OK)
        fx_cuda_profile_print(program, out);
    else
        fprintf(out, "%s\n", err.msg);
}

const struct fx_backend fx_backend_cuda = {
    .name = "cuda",
    .applies_rows = true,
    .runs_ahead = true,
    .device_find = fx_cuda_find,
    .device_open = fx_cuda_device_open,
    .device_close = fx_cuda_device_close,
    .memory_left = fx_cuda_memory_left,
    .dataset_load = dataset_load,
    .model_create = fx_cuda_model_create,
    .model_destroy = fx_cuda_model_destroy,
    .model_memory = fx_cuda_model_memory,
    .model_allocate = fx_cuda_model_allocate,
    .program_create = fx_cuda_program_create,
    .tensor_write = tensor_write,
    .tensor_read = tensor_read,
    .averages_swap = averages_swap,
    .input = input,
    .forward = forward,
    .loss = loss,
    .backward = backward,
    .update = update,
    .step_end = step_end,
    .step_begin = step_begin,
    .losses_read = losses_read,
    .value_read = value_read,
    .value_write = value_write,
    .profile_print = profile_print,
};
