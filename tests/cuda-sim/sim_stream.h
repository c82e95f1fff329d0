/* Streams and events, captured or not. */
#ifndef CUDA_SIM_SIM_STREAM_H
#define CUDA_SIM_SIM_STREAM_H

#include <memory>
#include <thread>
#include <vector>

#include "cuda_runtime_api.h"
#include "sim_schedule.h"

/* A piece of work of a graph: its number is its place, those before it have smaller ones. */
struct CUgraphNode_st {
    const char *name;
    cuda_sim::action run;
    std::vector<size_t> after;
    int priority; /* of the stream it was put on */
};

namespace cuda_sim
{

using graph_nodes = std::vector<CUgraphNode_st>;

/* A capture in progress, shared by its streams and the events recorded in them. */
struct capture {
    graph_nodes nodes;
    cudaStream_t origin;
    cudaStreamCaptureMode mode;
    std::thread::id thread;
    bool over = false;    /* ended, well or not */
    bool spoiled = false; /* a forbidden call was made */
};
using capture_ref = std::shared_ptr<capture>;

/* A live stream by its handle, 0 for the legacy stream; NULL when there is no such. */
CUstream_st *find_stream(cudaStream_t stream);

/* Puts work on a stream that was found, captured or not. */
cudaError_t put(CUstream_st *stream, const char *name, std::function<void()> run);

/* All work that must be done before what comes next on the stream: its own, and for the legacy
 * stream that of all blocking ones, for blocking ones that of the legacy stream. */
std::vector<work_ref> work_before(CUstream_st *stream);

/* For calls that a capture in progress forbids. */
cudaError_t spoil(capture &spoiled, cudaError_t error);

/* All live streams, without the legacy one. */
const std::vector<CUstream_st *> &live_streams();

} // namespace cuda_sim

struct CUstream_st {
    unsigned flags;
    int device, priority;
    cuda_sim::work_ref last;  /* put on it */
    cuda_sim::capture_ref in; /* NULL: not captured */
    std::vector<size_t> at;   /* nodes that what comes next depends on */
};

struct CUevent_st {
    unsigned flags;
    cuda_sim::work_ref recorded; /* NULL: never, or captured */
    cuda_sim::capture_ref in;
    std::vector<size_t> at;
};

#endif
