/* What the tests of the simulator (tests/cuda-sim) share. */
#ifndef FX_TESTS_UNIT_SIM_CASE_H
#define FX_TESTS_UNIT_SIM_CASE_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

extern "C" {
#include <cmocka.h>
}

#include "between.h"
#include "kernels/launch.cuh"
#include "base/sanitizers.h"
#include "tests/cuda-sim/sim.h"

enum { N_SEEDS = 64 };

/* The call succeeds. */
#define RUN(call) sim_check(#call, call)

static inline void sim_check(const char *call, cudaError_t error)
{
    if (error != cudaSuccess)
        fail_msg("%s: %s", call, cudaGetErrorString(error));
}

/* The call fails with this error, which is then the last one. */
#define REFUSED(error, call)                                                                       \
    do {                                                                                           \
        assert_string_equal(cudaGetErrorName(call), #error);                                       \
        assert_int_equal(cudaGetLastError(), error);                                               \
    } while (0)

/* Copies to the device and waits until it has arrived. */
static inline void send(void *to, const void *from, size_t bytes)
{
    RUN(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice));
    RUN(cudaDeviceSynchronize());
}

/* The same of a launch, which has asked for its error itself. */
#define LAUNCH_REFUSED(error, launch) assert_string_equal(cudaGetErrorName(launch), #error)

/* n values in device memory. */
template <class T> struct device_array {
    T *data;
    size_t n;

    explicit device_array(size_t count) : n(count)
    {
        RUN(cudaMalloc(&data, n * sizeof(T)));
    }
    explicit device_array(const std::vector<T> &from) : device_array(from.size())
    {
        send(data, from.data(), n * sizeof(T));
    }
    ~device_array()
    {
        cudaFree(data);
    }
    device_array(const device_array &) = delete;
    device_array &operator=(const device_array &) = delete;

    /* What is there when all streams have done their work. */
    std::vector<T> read() const
    {
        std::vector<T> result(n);

        RUN(cudaDeviceSynchronize());
        RUN(cudaMemcpy(result.data(), data, n * sizeof(T), cudaMemcpyDeviceToHost));
        return result;
    }
};

struct stream_case {
    cudaStream_t stream;

    stream_case()
    {
        RUN(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    }
    ~stream_case()
    {
        cudaStreamDestroy(stream);
    }
    stream_case(const stream_case &) = delete;
    stream_case &operator=(const stream_case &) = delete;
    operator cudaStream_t() const
    {
        return stream;
    }
};

struct event_case {
    cudaEvent_t event;

    explicit event_case(unsigned flags = cudaEventDisableTiming)
    {
        RUN(cudaEventCreateWithFlags(&event, flags));
    }
    ~event_case()
    {
        cudaEventDestroy(event);
    }
    event_case(const event_case &) = delete;
    event_case &operator=(const event_case &) = delete;
    operator cudaEvent_t() const
    {
        return event;
    }
};

/* A process of its own calls body() and does not survive it; what it says contains `text`. */
static inline void dies(void (*body)(), const char *text)
{
    char said[65536] = "";
    size_t n = 0;
    int ends[2], status;

    fflush(nullptr);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL); /* not cmocka's */
        signal(SIGSEGV, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        body();
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], said + n, sizeof said - 1 - n)) > 0;)
        n += (size_t)got;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
    if (!strstr(said, text))
        fail_msg("it says '%s', not '%s'", said, text);
}

#endif
