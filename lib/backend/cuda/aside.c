/* Which steps run aside, who has to wait for them, and the events between the two queues. */
#include "backend/cuda/aside.h"

enum fx_cuda_queue fx_aside_queue(const struct fx_step *step)
{
    return step->kind == FX_STEP_CONV_WEIGHTS ? FX_CUDA_ASIDE : FX_CUDA_MAIN;
}

/* ---- who has to wait ---- */

static bool share_memory(const struct fx_buffer *a, const struct fx_buffer *b)
{
    return a->lane == b->lane && a->offset < b->offset + b->n_bytes &&
           b->offset < a->offset + a->n_bytes;
}

/* Whether a map lies where the step reads one. */
static bool is_read(const struct fx_lowered *lowered, const struct fx_view *map,
                    const struct fx_step *step)
{
    const struct fx_buffer *buffers = lowered->plan.buffers;

    for (int v = 0; v < FX_STEP_MAX_VIEWS; v++)
        if (step->views[v].image_bytes > 0 &&
            share_memory(&buffers[map->buffer], &buffers[step->views[v].buffer]))
            return true;
    return false;
}

void fx_aside_find(const struct fx_lowered *lowered, int lane, struct fx_cuda_op *ops)
{
    const struct fx_steps *steps = &lowered->lanes[lane];
    int n_aside = 0;

    for (int i = steps->n_forward; i < steps->n_steps; i++) {
        const struct fx_view *written = fx_step_written(&steps->steps[i]);
        int number = n_aside;

        n_aside += fx_aside_queue(&steps->steps[i]) == FX_CUDA_ASIDE;
        for (int j = i - 1; written && number > 0 && ops[i].after == 0; j--) {
            if (fx_aside_queue(&steps->steps[j]) != FX_CUDA_ASIDE)
                continue;
            if (is_read(lowered, written, &steps->steps[j]))
                ops[i].after = number;
            number--;
        }
    }
}

/* ---- launching ---- */

static cudaEvent_t done(const struct fx_aside *aside, int number)
{
    return aside->device->aside_done[number % FX_CUDA_ASIDE_EVENTS];
}

/* The event may be that of a later piece by now: which comes behind this one. */
enum fx_status fx_aside_join(struct fx_aside *aside, int n, struct fx_err *err)
{
    if (n <= aside->n_joined)
        return FX_OK;
    FX_CUDA(cudaStreamWaitEvent(aside->device->main, done(aside, n), 0));
    aside->n_joined = n;
    return FX_OK;
}

enum fx_status fx_aside_begin(struct fx_aside *aside, struct fx_cuda_run *run,
                              const struct fx_step *step, const struct fx_cuda_op *op,
                              struct fx_err *err)
{
    const struct fx_device *device = aside->device;

    run->queue = fx_aside_queue(step);
    run->launch.stream = device->main;
    if (!aside->is_used)
        return FX_OK;
    FX_TRY(fx_aside_join(aside, op->after, err));
    if (run->queue == FX_CUDA_MAIN)
        return FX_OK;
    run->launch.stream = device->aside;
    FX_CUDA(cudaEventRecord(device->aside_fork, device->main));
    FX_CUDA(cudaStreamWaitEvent(device->aside, device->aside_fork, 0));
    return FX_OK;
}

enum fx_status fx_aside_end(struct fx_aside *aside, struct fx_cuda_run *run, struct fx_err *err)
{
    if (run->launch.stream == aside->device->main)
        return FX_OK;
    aside->n_launched++;
    FX_CUDA(cudaEventRecord(done(aside, aside->n_launched), aside->device->aside));
    return FX_OK;
}
