/* Captured graphs of the simulator: what is captured runs when it is launched, in every order that
 * the capture allows, and what CUDA does not capture is refused. */
#include "sim_case.h"

enum { N = 32 };

static __global__ void add(float *x, float value)
{
    x[threadIdx.x] += value;
}

static __global__ void multiply(float *x, float factor)
{
    x[threadIdx.x] *= factor;
}

static __global__ void sum(const float *a, const float *b, float *c)
{
    c[threadIdx.x] = a[threadIdx.x] + b[threadIdx.x];
}

struct graph_case {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;

    graph_case() = default;
    ~graph_case()
    {
        if (exec)
            cudaGraphExecDestroy(exec);
        if (graph)
            cudaGraphDestroy(graph);
    }
    graph_case(const graph_case &) = delete;
    graph_case &operator=(const graph_case &) = delete;

    void end(cudaStream_t stream)
    {
        RUN(cudaStreamEndCapture(stream, &graph));
        RUN(cudaGraphInstantiate(&exec, graph, 0));
    }
    size_t n_nodes() const
    {
        size_t n;

        RUN(cudaGraphGetNodes(graph, nullptr, &n));
        return n;
    }
};

static void a_graph_runs_as_often_as_it_is_launched(void **)
{
    stream_case stream;
    graph_case graph;
    device_array<float> x(std::vector<float>(N, 1.0f));

    RUN(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    RUN(FX_LAUNCH(add, 1, N, 0, stream, x.data, 1.0f));
    RUN(FX_LAUNCH(multiply, 1, N, 0, stream, x.data, 3.0f));
    graph.end(stream);
    assert_int_equal(graph.n_nodes(), 2);
    assert_true(x.read()[0] == 1.0f); /* capturing does nothing */
    for (int i = 0; i < 3; i++)
        RUN(cudaGraphLaunch(graph.exec, stream));
    assert_true(x.read()[N - 1] == ((2.0f * 3.0f + 1.0f) * 3.0f + 1.0f) * 3.0f);
}

/* Two launches of one graph follow each other, whatever their streams. */
static void launches_of_one_graph_do_not_overlap(void **)
{
    for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
        cuda_sim::seed(seed);
        stream_case stream, other;
        graph_case graph;
        device_array<float> x(std::vector<float>(N, 1.0f));
        RUN(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
        RUN(FX_LAUNCH(add, 1, N, 0, stream, x.data, 1.0f));
        RUN(FX_LAUNCH(multiply, 1, N, 0, stream, x.data, 3.0f));
        graph.end(stream);
        RUN(cudaGraphLaunch(graph.exec, stream));
        RUN(cudaGraphLaunch(graph.exec, other));
        assert_true(x.read()[0] == 21.0f);
    }
}

/* c = (a + 2) + 3 b on two streams; without the event that joins them, c may come too early. */
static float fork_and_join(bool joins_before_sum, int *n_nodes)
{
    stream_case main, side;
    event_case begin, done;
    graph_case graph;
    device_array<float> a(std::vector<float>(N, 1.0f)), b(std::vector<float>(N, 10.0f)), c(N);

    RUN(cudaStreamBeginCapture(main, cudaStreamCaptureModeThreadLocal));
    RUN(cudaEventRecord(begin, main));
    RUN(cudaStreamWaitEvent(side, begin, 0));
    RUN(FX_LAUNCH(add, 1, N, 0, main, a.data, 2.0f));
    RUN(FX_LAUNCH(multiply, 1, N, 0, side, b.data, 3.0f));
    RUN(cudaEventRecord(done, side));
    if (joins_before_sum)
        RUN(cudaStreamWaitEvent(main, done, 0));
    RUN(FX_LAUNCH(sum, 1, N, 0, main, a.data, b.data, c.data));
    if (!joins_before_sum)
        RUN(cudaStreamWaitEvent(main, done, 0));
    graph.end(main);
    *n_nodes = (int)graph.n_nodes();
    RUN(cudaGraphLaunch(graph.exec, main));
    return c.read()[0];
}

static void a_fork_that_is_joined_is_part_of_the_graph(void **)
{
    int n_early = 0, n_nodes;

    for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
        cuda_sim::seed(seed);
        assert_true(fork_and_join(true, &n_nodes) == 33.0f);
        assert_int_equal(n_nodes, 3);
        n_early += fork_and_join(false, &n_nodes) == 13.0f;
    }
    assert_between(n_early, 1, N_SEEDS - 1);
}

static void pinned_memory_is_read_at_each_launch(void **)
{
    stream_case stream;
    graph_case graph;
    device_array<float> x(1);
    float *host;

    RUN(cudaMallocHost(&host, 2 * sizeof *host));
    RUN(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    RUN(cudaMemcpyAsync(x.data, host, sizeof *host, cudaMemcpyHostToDevice, stream));
    RUN(FX_LAUNCH(add, 1, 1, 0, stream, x.data, 0.5f));
    RUN(cudaMemcpyAsync(host + 1, x.data, sizeof *host, cudaMemcpyDeviceToHost, stream));
    graph.end(stream);
    for (int i = 0; i < 3; i++) {
        host[0] = (float)i;
        RUN(cudaGraphLaunch(graph.exec, stream));
        RUN(cudaStreamSynchronize(stream));
        assert_true(host[1] == (float)i + 0.5f);
    }
    RUN(cudaFreeHost(host));
}

static void a_fork_that_is_not_joined_is_refused(void **)
{
    stream_case main, side;
    event_case begin;
    device_array<float> x(std::vector<float>(N, 1.0f));
    cudaGraph_t graph;

    RUN(cudaStreamBeginCapture(main, cudaStreamCaptureModeThreadLocal));
    RUN(FX_LAUNCH(add, 1, N, 0, main, x.data, 2.0f));
    RUN(cudaEventRecord(begin, main));
    RUN(cudaStreamWaitEvent(side, begin, 0));
    RUN(FX_LAUNCH(add, 1, N, 0, side, x.data, 2.0f));
    REFUSED(cudaErrorStreamCaptureUnjoined, cudaStreamEndCapture(main, &graph));
    assert_null(graph);
    RUN(FX_LAUNCH(add, 1, N, 0, side, x.data, 4.0f)); /* the capture is over for both */
    RUN(cudaStreamSynchronize(side));
    assert_true(x.read()[0] == 5.0f);
}

/* A forbidden call fails, and then so does the end of the capture. */
template <class Call> static void spoils(cudaError_t error, Call call)
{
    stream_case stream;
    cudaGraph_t graph;

    RUN(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    assert_int_equal(call(stream), error);
    REFUSED(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(stream, &graph));
    assert_null(graph);
}

static void calls_that_wait_or_allocate_are_refused_in_a_capture(void **)
{
    static const cudaError_t error = cudaErrorStreamCaptureUnsupported;
    static float pageable;
    stream_case outside;
    event_case before;
    device_array<float> x(N);
    float *memory = x.data;

    spoils(error, [](cudaStream_t stream) { return cudaStreamSynchronize(stream); });
    spoils(error, [&](cudaStream_t) { return cudaStreamSynchronize(outside); });
    spoils(error, [&](cudaStream_t) { return cudaEventSynchronize(before); });
    spoils(error, [](cudaStream_t) { return cudaDeviceSynchronize(); });
    spoils(error, [](cudaStream_t) {
        void *p;
        return cudaMalloc(&p, 4);
    });
    spoils(error, [=](cudaStream_t) { return cudaFree(memory); });
    spoils(error, [](cudaStream_t) {
        void *p;
        return cudaMallocHost(&p, 4);
    });
    spoils(error, [=](cudaStream_t) { return cudaMemset(memory, 0, 4); });
    spoils(error, [=](cudaStream_t stream) {
        return cudaMemcpyAsync(memory, &pageable, 4, cudaMemcpyHostToDevice, stream);
    });
}

static void events_do_not_cross_the_border_of_a_capture(void **)
{
    stream_case outside;
    event_case before, within;

    RUN(cudaEventRecord(before, outside));
    spoils(cudaErrorStreamCaptureIsolation,
           [&](cudaStream_t stream) { return cudaStreamWaitEvent(stream, before, 0); });
    spoils(cudaErrorCapturedEvent, [&](cudaStream_t stream) {
        RUN(cudaEventRecord(within, stream));
        return cudaEventSynchronize(within);
    });
    REFUSED(cudaErrorCapturedEvent, cudaStreamWaitEvent(outside, within, 0));
}

static void captures_begin_and_end_where_they_may(void **)
{
    stream_case stream, other;
    graph_case graph;
    event_case event;
    cudaGraph_t none;

    REFUSED(cudaErrorStreamCaptureUnsupported,
            cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal));
    REFUSED(cudaErrorIllegalState, cudaStreamEndCapture(stream, &none));
    RUN(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    REFUSED(cudaErrorIllegalState, cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    graph.end(stream);
    assert_int_equal(graph.n_nodes(), 0);
    RUN(cudaGraphLaunch(graph.exec, stream));
    RUN(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    RUN(cudaEventRecord(event, stream));
    RUN(cudaStreamWaitEvent(other, event, 0));
    REFUSED(cudaErrorStreamCaptureUnmatched, cudaStreamEndCapture(other, &none));
    REFUSED(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(stream, &none));
}

/* A kernel on each of two streams, of which one goes first, as a graph. */
static void instantiate(unsigned long long flags)
{
    int least, greatest;
    event_case fork, join;
    cudaGraphExec_t exec;
    cudaStream_t main, side;
    cudaGraph_t graph;
    device_array<float> a(std::vector<float>(N, 1.0f)), b(std::vector<float>(N, 1.0f));

    RUN(cudaDeviceGetStreamPriorityRange(&least, &greatest));
    RUN(cudaStreamCreateWithPriority(&main, cudaStreamNonBlocking, greatest));
    RUN(cudaStreamCreateWithPriority(&side, cudaStreamNonBlocking, least));
    RUN(cudaStreamBeginCapture(main, cudaStreamCaptureModeThreadLocal));
    RUN(cudaEventRecord(fork, main));
    RUN(cudaStreamWaitEvent(side, fork, 0));
    RUN(FX_LAUNCH(add, 1, N, 0, main, a.data, 2.0f));
    RUN(FX_LAUNCH(add, 1, N, 0, side, b.data, 2.0f));
    RUN(cudaEventRecord(join, side));
    RUN(cudaStreamWaitEvent(main, join, 0));
    RUN(cudaStreamEndCapture(main, &graph));
    RUN(cudaGraphInstantiate(&exec, graph, flags));
    RUN(cudaGraphExecDestroy(exec));
    RUN(cudaGraphDestroy(graph));
    RUN(cudaStreamDestroy(side));
    RUN(cudaStreamDestroy(main));
}

static void a_graph_that_loses_priorities_is_named(void **)
{
    instantiate(cudaGraphInstantiateFlagUseNodePriority);
    dies([] { instantiate(0); }, "streams of different priorities");
}

static void a_capture_that_is_told_to_refuses_work(void **)
{
    stream_case stream;
    cudaGraph_t graph;
    device_array<float> x(std::vector<float>(N, 1.0f));

    setenv("CUDA_SIM_CAPTURE_NODES", "1", 1);
    RUN(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    RUN(FX_LAUNCH(add, 1, N, 0, stream, x.data, 1.0f));
    LAUNCH_REFUSED(cudaErrorStreamCaptureUnsupported,
                   FX_LAUNCH(multiply, 1, N, 0, stream, x.data, 3.0f));
    REFUSED(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(stream, &graph));
    unsetenv("CUDA_SIM_CAPTURE_NODES");
    RUN(FX_LAUNCH(add, 1, N, 0, stream, x.data, 1.0f));
    assert_true(x.read()[0] == 2.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_graph_runs_as_often_as_it_is_launched),
        cmocka_unit_test(launches_of_one_graph_do_not_overlap),
        cmocka_unit_test(a_fork_that_is_joined_is_part_of_the_graph),
        cmocka_unit_test(pinned_memory_is_read_at_each_launch),
        cmocka_unit_test(a_fork_that_is_not_joined_is_refused),
        cmocka_unit_test(calls_that_wait_or_allocate_are_refused_in_a_capture),
        cmocka_unit_test(events_do_not_cross_the_border_of_a_capture),
        cmocka_unit_test(captures_begin_and_end_where_they_may),
        cmocka_unit_test(a_graph_that_loses_priorities_is_named),
        cmocka_unit_test(a_capture_that_is_told_to_refuses_work),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
