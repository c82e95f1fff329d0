/* Stream capture and graphs. */
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "sim_runtime.h"
#include "sim.h"
#include "sim_stream.h"

/* Shared by the graph and what was made from it. */
struct CUgraph_st {
    std::shared_ptr<cuda_sim::graph_nodes> nodes;
};

struct CUgraphExec_st {
    std::shared_ptr<cuda_sim::graph_nodes> nodes;
    cuda_sim::work_ref last; /* launch: the next one waits for it */
};

namespace cuda_sim
{

cudaError_t spoil(capture &spoiled, cudaError_t error)
{
    spoiled.spoiled = true;
    return error;
}

cudaError_t refuse_in_capture()
{
    for (CUstream_st *stream : live_streams()) {
        if (!stream->in || stream->in->mode == cudaStreamCaptureModeRelaxed)
            continue;
        if (stream->in->mode == cudaStreamCaptureModeGlobal ||
            stream->in->thread == std::this_thread::get_id())
            return spoil(*stream->in, cudaErrorStreamCaptureUnsupported);
    }
    return cudaSuccess;
}

static cudaError_t begin(CUstream_st *stream, cudaStreamCaptureMode mode)
{
    if (stream->in)
        return cudaErrorIllegalState;
    stream->in = std::make_shared<capture>();
    stream->in->origin = stream;
    stream->in->mode = mode;
    stream->in->thread = std::this_thread::get_id();
    stream->at.clear();
    return cudaSuccess;
}

/* Whether the origin stream waits, in the end, for every node of the capture. */
static bool all_joined(const capture &ended, const std::vector<size_t> &at)
{
    std::vector<bool> joined(ended.nodes.size(), false);

    for (size_t node : at)
        joined[node] = true;
    for (size_t i = ended.nodes.size(); i-- > 0;)
        if (joined[i])
            for (size_t before : ended.nodes[i].after)
                joined[before] = true;
    return std::find(joined.begin(), joined.end(), false) == joined.end();
}

static cudaError_t end(CUstream_st *stream, cudaGraph_t *graph)
{
    capture_ref ended = stream->in;

    *graph = nullptr;
    if (!ended)
        return cudaErrorIllegalState;
    if (ended->origin != stream)
        return spoil(*ended, cudaErrorStreamCaptureUnmatched);
    if (ended->mode != cudaStreamCaptureModeRelaxed && ended->thread != std::this_thread::get_id())
        return cudaErrorStreamCaptureWrongThread;
    for (CUstream_st *other : live_streams())
        if (other->in == ended)
            other->in = nullptr;
    ended->over = true;
    if (ended->spoiled)
        return cudaErrorStreamCaptureInvalidated;
    if (!all_joined(*ended, stream->at))
        return cudaErrorStreamCaptureUnjoined;
    *graph = new CUgraph_st{ std::make_shared<graph_nodes>(std::move(ended->nodes)) };
    return cudaSuccess;
}

/* One piece of work a node, between two that mark begin and end. */
static cudaError_t launch_graph(CUgraphExec_st *exec, CUstream_st *stream)
{
    std::vector<work_ref> before = work_before(stream), made;

    if (stream->in)
        return spoil(*stream->in, cudaErrorStreamCaptureUnsupported);
    before.push_back(exec->last);
    work_ref start = add_work("begin of a graph", nullptr, before);
    for (const CUgraphNode_st &node : *exec->nodes) {
        std::vector<work_ref> after = { start };

        for (size_t i : node.after)
            after.push_back(made[i]);
        made.push_back(add_work(node.name, node.run, after));
    }
    made.push_back(start);
    exec->last = add_work("end of a graph", nullptr, made);
    stream->last = exec->last;
    return cudaSuccess;
}

/* Streams of different priorities were captured, and the graph is to forget them: a device does so
 * without a word. */
static void check_priorities(const graph_nodes &nodes, unsigned long long flags)
{
    auto differs = [&](const CUgraphNode_st &node) { return node.priority != nodes[0].priority; };

    if (flags & cudaGraphInstantiateFlagUseNodePriority ||
        std::none_of(nodes.begin(), nodes.end(), differs))
        return;
    fprintf(stderr, "cuda-sim: a graph of streams of different priorities is instantiated without"
                    " cudaGraphInstantiateFlagUseNodePriority\n");
    abort();
}

static cudaError_t list_nodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *n)
{
    size_t given = nodes ? std::min(*n, graph->nodes->size()) : graph->nodes->size();

    for (size_t i = 0; nodes && i < given; i++)
        nodes[i] = &(*graph->nodes)[i];
    *n = given;
    return cudaSuccess;
}

} // namespace cuda_sim

using namespace cuda_sim;

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, enum cudaStreamCaptureMode mode)
{
    return api([&] {
        CUstream_st *stream = find_stream(handle);

        if (!stream)
            return cudaErrorInvalidResourceHandle;
        return handle ? begin(stream, mode) : cudaErrorStreamCaptureUnsupported;
    });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *graph)
{
    return api([&] {
        CUstream_st *stream = find_stream(handle);

        return stream ? end(stream, graph) : cudaErrorInvalidResourceHandle;
    });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *n)
{
    return api([&] { return list_nodes(graph, nodes, n); });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    return api([&] {
        check_priorities(*graph->nodes, flags);
        *exec = new CUgraphExec_st{ graph->nodes, nullptr };
        return cudaSuccess;
    });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle)
{
    return api([&] {
        CUstream_st *stream = find_stream(handle);

        return stream ? launch_graph(exec, stream) : cudaErrorInvalidResourceHandle;
    });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    return api([&] {
        delete graph;
        return cudaSuccess;
    });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    return api([&] {
        delete exec;
        return cudaSuccess;
    });
}
