/* Which instructions run on the second stream, who has to wait for them, and the events between the
 * two streams. */
#include "backend/cuda/wgrad_stream_internal.h"

enum fx_cuda_queue fx_wgrad_queue_of(const struct fx_instr *instr)
{
    return instr->op == FX_INSTR_CONV_BACK_WEIGHTS ? FX_CUDA_WGRAD : FX_CUDA_MAIN;
}

/* ---- who has to wait ---- */

static bool share_memory(const struct fx_buffer *a, const struct fx_buffer *b)
{
    return a->lane == b->lane && a->offset < b->offset + b->n_bytes &&
           b->offset < a->offset + a->n_bytes;
}

/* Whether an instruction writes a map where another one reads one. */
static bool overwrites(const struct fx_lowered *lowered, const struct fx_instr *writer,
                       const struct fx_instr *reader)
{
    const struct fx_buffer *buffers = lowered->plan.buffers;
    const struct fx_view *written[FX_INSTR_MAX_WRITTEN];
    int n_written = fx_instr_written(writer, written);

    for (int w = 0; w < n_written; w++)
        for (int v = 0; v < FX_INSTR_MAX_OPERANDS; v++)
            if (reader->operands[v].image_bytes > 0 &&
                share_memory(&buffers[written[w]->buffer], &buffers[reader->operands[v].buffer]))
                return true;
    return false;
}

/* For each instruction of the backward pass that writes a map: the last weight gradient before it
 * that reads the same memory, found backwards, so that the first hit is the highest number. Earlier
 * ones need no test: the stream runs them in order.  Memory is compared, not buffers: two buffers
 * may share an offset when their lives do not overlap, and a weight gradient on the second stream
 * lives longer than its instruction. */
void fx_wgrad_find_waits(const struct fx_lowered *lowered, int lane, struct fx_compiled *compiled)
{
    const struct fx_instr_list *list = &lowered->lanes[lane];
    int n_wgrads = 0;

    for (int i = list->n_forward; i < list->n_instrs; i++) {
        int number = n_wgrads;

        n_wgrads += fx_wgrad_queue_of(&list->instrs[i]) == FX_CUDA_WGRAD;
        for (int j = i - 1; number > 0 && compiled[i].after == 0; j--) {
            if (fx_wgrad_queue_of(&list->instrs[j]) != FX_CUDA_WGRAD)
                continue;
            if (overwrites(lowered, &list->instrs[i], &list->instrs[j]))
                compiled[i].after = number;
            number--;
        }
    }
}

/* ---- launching ---- */

static cudaEvent_t done(const struct fx_wgrad_stream *wgrad, int number)
{
    return wgrad->device->wgrad_done[number % FX_CUDA_WGRAD_EVENTS];
}

/* Events are reused in a ring: this one may by now be that of a later weight gradient, which comes
 * behind n on the same stream, so that waiting for it is correct if late. */
enum fx_status fx_wgrad_join(struct fx_wgrad_stream *wgrad, int n, struct fx_err *err)
{
    if (n <= wgrad->n_joined)
        return FX_OK;
    FX_CUDA(cudaStreamWaitEvent(wgrad->device->main, done(wgrad, n), 0));
    wgrad->n_joined = n;
    return FX_OK;
}

enum fx_status fx_wgrad_begin(struct fx_wgrad_stream *wgrad, struct fx_cuda_exec *exec,
                              const struct fx_instr *instr, const struct fx_compiled *compiled,
                              struct fx_err *err)
{
    const struct fx_device *device = wgrad->device;

    exec->queue = fx_wgrad_queue_of(instr);
    exec->launch.stream = device->main;
    if (!wgrad->is_used)
        return FX_OK;
    FX_TRY(fx_wgrad_join(wgrad, compiled->after, err));
    if (exec->queue == FX_CUDA_MAIN)
        return FX_OK;
    exec->launch.stream = device->wgrad;
    FX_CUDA(cudaEventRecord(device->wgrad_fork, device->main));
    FX_CUDA(cudaStreamWaitEvent(device->wgrad, device->wgrad_fork, 0));
    return FX_OK;
}

enum fx_status fx_wgrad_end(struct fx_wgrad_stream *wgrad, struct fx_cuda_exec *exec,
                            struct fx_err *err)
{
    if (exec->launch.stream == wgrad->device->main)
        return FX_OK;
    wgrad->n_launched++;
    FX_CUDA(cudaEventRecord(done(wgrad, wgrad->n_launched), wgrad->device->wgrad));
    return FX_OK;
}
