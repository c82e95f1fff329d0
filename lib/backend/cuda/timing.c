/* Candidates timed on the device. */
#include "backend/cuda/timing.h"

#include <stdint.h>
#include <stdlib.h>

enum { N_ROUNDS = 3, N_RUNS = 10, NOISE_BYTES = 1 << 20 };
#define NOISE 0.98f /* of the best time so far: what a later candidate must stay below */

/* ---- memory -----------------------------------------------------------------------------------
 */

/* A bf16, and the upper half of an f32, is sign, exponent and mantissa in 1, 8 and 7 bits. */
static void make_noise(uint16_t *halves, size_t n, bool bf16)
{
    uint32_t state = 1;

    for (size_t i = 0; i < n / sizeof *halves; i++) {
        state = state * 1664525u + 1013904223u;
        bool is_upper = bf16 || i % 2 == 1;
        halves[i] = (uint16_t)(state >> 16);
        if (is_upper)
            halves[i] = (uint16_t)((halves[i] & 0x83ff) | 0x3c00);
    }
}

/* Copies the first bytes of `to` over and over behind themselves. */
static bool repeat(char *to, size_t n_first, size_t n, cudaStream_t stream)
{
    for (size_t done = n_first; done < n; done *= 2) {
        size_t n_more = done < n - done ? done : n - done;

        if (cudaMemcpyAsync(to + done, to, n_more, cudaMemcpyDeviceToDevice, stream) != cudaSuccess)
            return false;
    }
    return true;
}

bool fx_timing_noise(void **to, size_t n, bool bf16, cudaStream_t stream)
{
    size_t n_first = n < NOISE_BYTES ? n : NOISE_BYTES;
    uint16_t *noise = malloc(NOISE_BYTES);
    bool good = noise && cudaMalloc(to, n) == cudaSuccess;

    if (good) {
        make_noise(noise, NOISE_BYTES, bf16);
        good =
            cudaMemcpyAsync(*to, noise, n_first, cudaMemcpyHostToDevice, stream) == cudaSuccess &&
            repeat(*to, n_first, n, stream);
    }
    free(noise);
    return good;
}

/* ---- time -------------------------------------------------------------------------------------
 */

bool fx_timing_open(struct fx_timing *timing, cudaStream_t stream)
{
    *timing = (struct fx_timing){ .stream = stream, .fastest = -1 };
    return cudaEventCreateWithFlags(&timing->begin, cudaEventDefault) == cudaSuccess &&
           cudaEventCreateWithFlags(&timing->end, cudaEventDefault) == cudaSuccess;
}

void fx_timing_close(struct fx_timing *timing)
{
    if (timing->begin)
        cudaEventDestroy(timing->begin);
    if (timing->end)
        cudaEventDestroy(timing->end);
    cudaGetLastError(); /* a failed allocation is not the next call's error */
}

/* N_RUNS of a candidate as a graph. */
static bool record(cudaGraphExec_t *runs, cudaStream_t stream, fx_timed_fn *run,
                   const void *candidate)
{
    cudaGraph_t graph = NULL;
    bool good = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess;

    if (!good)
        return false;
    for (int i = 0; i < N_RUNS && good; i++)
        good = run(candidate);
    good = cudaStreamEndCapture(stream, &graph) == cudaSuccess && good &&
           cudaGraphInstantiate(runs, graph, 0) == cudaSuccess;
    if (graph)
        cudaGraphDestroy(graph);
    return good;
}

/* Milliseconds of N_RUNS runs; negative when they failed. */
static float time_round(const struct fx_timing *timing, cudaGraphExec_t runs)
{
    float ms;
    bool good = cudaEventRecord(timing->begin, timing->stream) == cudaSuccess &&
                cudaGraphLaunch(runs, timing->stream) == cudaSuccess &&
                cudaEventRecord(timing->end, timing->stream) == cudaSuccess &&
                cudaEventSynchronize(timing->end) == cudaSuccess &&
                cudaEventElapsedTime(&ms, timing->begin, timing->end) == cudaSuccess;

    return good ? ms : -1;
}

/* The fastest of some rounds after one that warms up; negative when one failed. */
static float time_rounds(const struct fx_timing *timing, cudaGraphExec_t runs)
{
    float best = -1;

    for (int round = 0; round <= N_ROUNDS; round++) {
        float ms = time_round(timing, runs);

        if (ms < 0)
            return -1;
        if (round == 1 || (round > 1 && ms < best))
            best = ms;
    }
    return best;
}

/* The run before the capture loads what is loaded at first use. */
void fx_timing_try(struct fx_timing *timing, int number, fx_timed_fn *run, const void *candidate)
{
    cudaGraphExec_t runs = NULL;
    float ms = -1;

    timing->n++;
    if (run(candidate) && record(&runs, timing->stream, run, candidate))
        ms = time_rounds(timing, runs);
    if (runs)
        cudaGraphExecDestroy(runs);
    if (ms >= 0 && (timing->fastest < 0 || ms < NOISE * timing->ms)) {
        timing->fastest = number;
        timing->ms = ms;
    }
}

double fx_timing_us(const struct fx_timing *timing)
{
    return 1000 * (double)timing->ms / N_RUNS;
}
