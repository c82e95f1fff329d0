/* Streams, events, and what is put on streams. */
#include "sim_stream.h"

#include <algorithm>

#include "sim_block.h"
#include "sim_runtime.h"
#include "sim.h"
#include "sim_launch.h"

namespace cuda_sim
{

static CUstream_st legacy = { cudaStreamDefault, 0, 0, nullptr, nullptr, {} };
static std::vector<CUstream_st *> streams;
static std::vector<CUevent_st *> events;

template <class T> static bool is_live(const std::vector<T *> &all, T *handle)
{
    return std::find(all.begin(), all.end(), handle) != all.end();
}

template <class T> static void forget(std::vector<T *> &all, T *handle)
{
    all.erase(std::find(all.begin(), all.end(), handle));
    delete handle;
}

CUstream_st *find_stream(cudaStream_t stream)
{
    return !stream ? &legacy : is_live(streams, stream) ? stream : nullptr;
}

const std::vector<CUstream_st *> &live_streams()
{
    return streams;
}

std::vector<work_ref> work_before(CUstream_st *stream)
{
    std::vector<work_ref> before = { stream->last };

    if (stream != &legacy && !(stream->flags & cudaStreamNonBlocking))
        before.push_back(legacy.last);
    if (stream == &legacy)
        for (const CUstream_st *other : streams)
            if (!(other->flags & cudaStreamNonBlocking))
                before.push_back(other->last);
    return before;
}

/* The legacy stream would wait for blocking streams, which cannot be while they are captured. */
static cudaError_t check_legacy()
{
    for (CUstream_st *other : streams)
        if (other->in && !(other->flags & cudaStreamNonBlocking))
            return spoil(*other->in, cudaErrorStreamCaptureImplicit);
    return refuse_in_capture();
}

cudaError_t put(CUstream_st *stream, const char *name, std::function<void()> run)
{
    action shared = std::make_shared<const std::function<void()>>(std::move(run));
    cudaError_t error = stream == &legacy ? check_legacy() : cudaSuccess;

    if (error != cudaSuccess)
        return error;
    if (!stream->in) {
        stream->last = add_work(name, shared, work_before(stream));
        return cudaSuccess;
    }
    if (stream->in->spoiled)
        return cudaErrorStreamCaptureInvalidated;
    if (stream->in->nodes.size() >= captured_nodes_allowed())
        return spoil(*stream->in, cudaErrorStreamCaptureUnsupported);
    stream->in->nodes.push_back({ name, shared, stream->at, stream->priority });
    stream->at.assign(1, stream->in->nodes.size() - 1);
    return cudaSuccess;
}

cudaError_t enqueue(cudaStream_t handle, const char *name, std::function<void()> run)
{
    return api([&] {
        CUstream_st *stream = find_stream(handle);

        return stream ? put(stream, name, std::move(run)) : cudaErrorInvalidResourceHandle;
    });
}

bool is_captured(cudaStream_t handle)
{
    bool captured = false;

    (void)api([&] {
        CUstream_st *stream = find_stream(handle);

        captured = stream && stream->in;
        return cudaSuccess;
    });
    return captured;
}

static bool is_valid_launch(dim3 grid, dim3 block, size_t shared_bytes)
{
    uint64_t n_threads = (uint64_t)block.x * block.y * block.z;

    return n_threads > 0 && n_threads <= MAX_BLOCK_THREADS && block.z <= MAX_BLOCK_DEPTH &&
           grid.x > 0 && grid.x <= 0x7fffffff && grid.y > 0 && grid.y <= MAX_GRID_HEIGHT &&
           grid.z > 0 && grid.z <= MAX_GRID_HEIGHT && shared_bytes == 0;
}

cudaError_t enqueue_kernel(const char *name, dim3 grid, dim3 block, size_t shared_bytes,
                           cudaStream_t handle, std::function<void()> thread)
{
    kernel_launch launch = { name, grid, block, std::move(thread) };

    return api([&] {
        CUstream_st *stream = find_stream(handle);

        if (!stream || (stream != &legacy && stream->device != current_device()))
            return cudaErrorInvalidResourceHandle;
        if (!is_valid_launch(grid, block, shared_bytes))
            return cudaErrorInvalidConfiguration;
        return put(stream, name, [launch] { run_grid(launch); });
    });
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* CUDA may refuse any wait in the middle of a capture, whatever it is for. */
static cudaError_t synchronize(CUstream_st *stream)
{
    cudaError_t error = refuse_in_capture();

    if (error != cudaSuccess)
        return error;
    if (stream->in)
        return spoil(*stream->in, cudaErrorStreamCaptureUnsupported);
    for (const work_ref &before : work_before(stream))
        finish(before);
    return cudaSuccess;
}

/* A stream waits for an event that was recorded in a capture: it becomes part of that capture. */
static cudaError_t wait_captured(CUstream_st *stream, CUevent_st *event)
{
    if (event->in->over)
        return cudaErrorCapturedEvent;
    if (stream == &legacy)
        return spoil(*event->in, cudaErrorStreamCaptureImplicit);
    if (stream->in && stream->in != event->in) {
        spoil(*stream->in, cudaErrorStreamCaptureMerge);
        return spoil(*event->in, cudaErrorStreamCaptureMerge);
    }
    if (!stream->in)
        stream->at.clear();
    stream->in = event->in;
    for (size_t node : event->at)
        if (std::find(stream->at.begin(), stream->at.end(), node) == stream->at.end())
            stream->at.push_back(node);
    return cudaSuccess;
}

static cudaError_t wait_event(CUstream_st *stream, CUevent_st *event)
{
    if (event->in)
        return wait_captured(stream, event);
    if (!event->recorded)
        return cudaSuccess;
    if (stream->in)
        return spoil(*stream->in, cudaErrorStreamCaptureIsolation);
    std::vector<work_ref> before = work_before(stream);
    before.push_back(event->recorded);
    stream->last = add_work("wait for an event", nullptr, before);
    return cudaSuccess;
}

static cudaError_t record(CUevent_st *event, CUstream_st *stream)
{
    cudaError_t error = stream == &legacy ? check_legacy() : cudaSuccess;

    if (error != cudaSuccess)
        return error;
    event->in = stream->in;
    event->at = stream->at;
    event->recorded = nullptr;
    if (!stream->in) {
        event->recorded = add_work("an event", nullptr, work_before(stream));
        stream->last = event->recorded;
    }
    return cudaSuccess;
}

static cudaError_t elapsed(float *ms, CUevent_st *start, CUevent_st *end)
{
    if ((start->flags | end->flags) & cudaEventDisableTiming)
        return cudaErrorInvalidResourceHandle;
    if (start->in || end->in)
        return cudaErrorCapturedEvent;
    if (!start->recorded || !end->recorded)
        return cudaErrorInvalidResourceHandle;
    if (!start->recorded->done || !end->recorded->done)
        return cudaErrorNotReady;
    *ms = (float)(end->recorded->done_ms - start->recorded->done_ms);
    return cudaSuccess;
}

/* A call that names a stream, an event, or both. */
template <class Body> static cudaError_t with_stream(cudaStream_t handle, Body body)
{
    return api([&] {
        CUstream_st *stream = find_stream(handle);

        return stream ? body(stream) : cudaErrorInvalidResourceHandle;
    });
}

template <class Body> static cudaError_t with_event(cudaEvent_t event, Body body)
{
    return api([&] { return is_live(events, event) ? body() : cudaErrorInvalidResourceHandle; });
}

template <class Body>
static cudaError_t with_both(cudaEvent_t event, cudaStream_t handle, Body body)
{
    return with_stream(handle, [&](CUstream_st *stream) {
        return is_live(events, event) ? body(stream) : cudaErrorInvalidResourceHandle;
    });
}

} // namespace cuda_sim

using namespace cuda_sim;

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned int flags, int priority)
{
    return api([&] {
        *stream = new CUstream_st{ flags, current_device(), priority, nullptr, nullptr, {} };
        streams.push_back(*stream);
        return cudaSuccess;
    });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags)
{
    return cudaStreamCreateWithPriority(stream, flags, 0);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
}

/* Work that was put on it is done all the same. */
cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    return with_stream(stream, [&](CUstream_st *found) {
        if (found == &legacy)
            return cudaErrorInvalidResourceHandle;
        if (found->in)
            spoil(*found->in, cudaErrorStreamCaptureUnsupported);
        forget(streams, found);
        return cudaSuccess;
    });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    return with_stream(stream, synchronize);
}

cudaError_t cudaDeviceSynchronize(void)
{
    return api([&] {
        for (CUstream_st *stream : streams)
            if (stream->in)
                return spoil(*stream->in, cudaErrorStreamCaptureUnsupported);
        finish_all();
        return cudaSuccess;
    });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int)
{
    return with_both(event, stream, [&](CUstream_st *found) { return wait_event(found, event); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags)
{
    return api([&] {
        *event = new CUevent_st{ flags, nullptr, nullptr, {} };
        events.push_back(*event);
        return cudaSuccess;
    });
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    return with_event(event, [&] {
        forget(events, event);
        return cudaSuccess;
    });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    return with_both(event, stream, [&](CUstream_st *found) { return record(event, found); });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    return with_event(event, [&] {
        if (event->in)
            return event->in->over ? cudaErrorCapturedEvent
                                   : spoil(*event->in, cudaErrorCapturedEvent);
        cudaError_t error = refuse_in_capture();
        if (error == cudaSuccess)
            finish(event->recorded);
        return error;
    });
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    return with_event(start, [&] {
        return is_live(events, end) ? elapsed(ms, start, end) : cudaErrorInvalidResourceHandle;
    });
}
