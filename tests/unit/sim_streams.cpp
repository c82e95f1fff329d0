/* Streams of the simulator: work is done late and in any order that streams and events allow, so
 * that what is missing shows. */
#include "sim_case.h"

enum { N = 64 };

static __global__ void fill(float *x, float value)
{
    x[threadIdx.x] = value;
}

static __global__ void add_one(const float *x, float *y)
{
    y[threadIdx.x] = x[threadIdx.x] + 1.0f;
}

/* One stream writes x, the other reads it into y; returns y[0]. */
static float write_and_read(bool has_event)
{
    stream_case writer, reader;
    event_case written;
    device_array<float> x(std::vector<float>(N, 0.0f)), y(N);

    RUN(FX_LAUNCH(fill, 1, N, 0, writer, x.data, 41.0f));
    RUN(cudaEventRecord(written, writer));
    if (has_event)
        RUN(cudaStreamWaitEvent(reader, written, 0));
    RUN(FX_LAUNCH(add_one, 1, N, 0, reader, x.data, y.data));
    return y.read()[0];
}

static void an_event_orders_streams(void **)
{
    for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
        cuda_sim::seed(seed);
        assert_true(write_and_read(true) == 42.0f);
    }
}

static void a_missing_event_shows(void **)
{
    int n_late = 0, n_right = 0;

    for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
        cuda_sim::seed(seed);
        float got = write_and_read(false);
        n_right += got == 42.0f;
        n_late += got == 1.0f;
    }
    assert_int_equal(n_right + n_late, N_SEEDS);
    assert_between(n_late, N_SEEDS / 8, N_SEEDS - N_SEEDS / 8);
}

/* A long stream and a short one: either may be done first, or half of one between. */
static void whole_chains_overtake_each_other(void **)
{
    int n_before = 0, n_between = 0, n_after = 0;

    for (uint64_t seed = 0; seed < 2 * N_SEEDS; seed++) {
        cuda_sim::seed(seed);
        stream_case chain, other;
        device_array<float> x(std::vector<float>(N, 0.0f)), y(N);
        for (int i = 1; i <= 20; i++)
            RUN(FX_LAUNCH(fill, 1, N, 0, chain, x.data, (float)i));
        RUN(FX_LAUNCH(add_one, 1, N, 0, other, x.data, y.data));
        float seen = y.read()[0] - 1.0f;
        n_before += seen == 0.0f;
        n_after += seen == 20.0f;
        n_between += seen > 0.0f && seen < 20.0f;
    }
    assert_true(n_before > 0 && n_between > 0 && n_after > 0);
}

static void a_stream_keeps_its_order(void **)
{
    for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
        cuda_sim::seed(seed);
        stream_case stream;
        device_array<float> x(N);
        RUN(FX_LAUNCH(fill, 1, N, 0, stream, x.data, 0.0f));
        for (int i = 0; i < 10; i++)
            RUN(FX_LAUNCH(add_one, 1, N, 0, stream, x.data, x.data));
        assert_true(x.read()[N - 1] == 10.0f);
    }
}

static void synchronising_waits_for_one_stream(void **)
{
    float *out;
    int n_other_late = 0;

    RUN(cudaMallocHost(&out, 2 * sizeof *out));
    for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
        cuda_sim::seed(seed);
        stream_case one, other;
        device_array<float> x(std::vector<float>(N, 7.0f));
        out[0] = out[1] = 0.0f;
        RUN(cudaMemcpyAsync(&out[0], x.data, 4, cudaMemcpyDeviceToHost, one));
        RUN(cudaMemcpyAsync(&out[1], x.data, 4, cudaMemcpyDeviceToHost, other));
        RUN(cudaStreamSynchronize(one));
        assert_true(out[0] == 7.0f);
        n_other_late += out[1] != 7.0f;
        RUN(cudaDeviceSynchronize());
        assert_true(out[1] == 7.0f);
    }
    assert_between(n_other_late, 1, N_SEEDS - 1);
    RUN(cudaFreeHost(out));
}

/* The host changes its memory right after the call. */
static float copied(float *host)
{
    stream_case stream;
    device_array<float> x(1);

    host[0] = 1.0f;
    RUN(cudaMemcpyAsync(x.data, host, sizeof *host, cudaMemcpyHostToDevice, stream));
    host[0] = 2.0f;
    return x.read()[0];
}

static void pinned_memory_is_read_when_the_copy_runs(void **)
{
    float *pinned;
    int n_late = 0;

    RUN(cudaHostAlloc(reinterpret_cast<void **>(&pinned), sizeof *pinned, cudaHostAllocDefault));
    for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
        cuda_sim::seed(seed);
        n_late += copied(pinned) == 2.0f;
    }
    assert_between(n_late, N_SEEDS / 2, N_SEEDS);
    RUN(cudaFreeHost(pinned));
}

static void other_memory_is_read_by_the_call(void **)
{
    float pageable;

    for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
        cuda_sim::seed(seed);
        assert_true(copied(&pageable) == 1.0f);
    }
}

/* cudaMemcpy returns before the little that it copies to the device has arrived. */
static void small_copies_to_the_device_arrive_late(void **)
{
    int n_late = 0;

    for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
        cuda_sim::seed(seed);
        stream_case stream;
        float from = 7.0f;
        device_array<float> x(std::vector<float>(1, 1.0f)), y(1);
        RUN(cudaMemcpy(x.data, &from, sizeof from, cudaMemcpyHostToDevice));
        RUN(FX_LAUNCH(add_one, 1, 1, 0, stream, x.data, y.data));
        n_late += y.read()[0] != 8.0f;
    }
    assert_between(n_late, 1, N_SEEDS - 1);
}

/* cudaMemset is on the legacy stream: streams that are not "non-blocking" wait for it. */
static float set_and_added(unsigned flags)
{
    cudaStream_t stream;
    device_array<float> x(std::vector<float>(N, 5.0f));

    RUN(cudaStreamCreateWithFlags(&stream, flags));
    RUN(cudaMemset(x.data, 0, N * sizeof(float)));
    RUN(FX_LAUNCH(add_one, 1, N, 0, stream, x.data, x.data));
    float got = x.read()[0];
    RUN(cudaStreamDestroy(stream));
    return got;
}

static void only_blocking_streams_wait_for_the_legacy_stream(void **)
{
    int n_overtaken = 0;

    for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
        cuda_sim::seed(seed);
        assert_true(set_and_added(cudaStreamDefault) == 1.0f);
        n_overtaken += set_and_added(cudaStreamNonBlocking) == 0.0f;
    }
    assert_between(n_overtaken, 1, N_SEEDS - 1);
}

static void events_tell_the_time(void **)
{
    stream_case stream;
    event_case start(cudaEventDefault), end(cudaEventDefault), silent;
    float ms = -1.0f;

    REFUSED(cudaErrorInvalidResourceHandle, cudaEventElapsedTime(&ms, start, end));
    RUN(cudaEventRecord(start, stream));
    RUN(cuda_sim::enqueue(stream, "a pause", [] { usleep(2000); }));
    RUN(cudaEventRecord(end, stream));
    RUN(cudaEventRecord(silent, stream));
    RUN(cudaEventSynchronize(end));
    RUN(cudaEventElapsedTime(&ms, start, end));
    assert_true(ms >= 2.0f && ms < 10000.0f);
    REFUSED(cudaErrorInvalidResourceHandle, cudaEventElapsedTime(&ms, start, silent));
}

static void handles_that_are_gone_are_refused(void **)
{
    cudaStream_t stream;
    cudaEvent_t event;
    device_array<float> x(N);

    RUN(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    RUN(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    RUN(cudaEventDestroy(event));
    REFUSED(cudaErrorInvalidResourceHandle, cudaEventRecord(event, stream));
    RUN(cudaStreamDestroy(stream));
    REFUSED(cudaErrorInvalidResourceHandle, cudaStreamSynchronize(stream));
    LAUNCH_REFUSED(cudaErrorInvalidResourceHandle, FX_LAUNCH(fill, 1, N, 0, stream, x.data, 0.0f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_orders_streams),
        cmocka_unit_test(a_missing_event_shows),
        cmocka_unit_test(whole_chains_overtake_each_other),
        cmocka_unit_test(a_stream_keeps_its_order),
        cmocka_unit_test(synchronising_waits_for_one_stream),
        cmocka_unit_test(pinned_memory_is_read_when_the_copy_runs),
        cmocka_unit_test(other_memory_is_read_by_the_call),
        cmocka_unit_test(small_copies_to_the_device_arrive_late),
        cmocka_unit_test(only_blocking_streams_wait_for_the_legacy_stream),
        cmocka_unit_test(events_tell_the_time),
        cmocka_unit_test(handles_that_are_gone_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
