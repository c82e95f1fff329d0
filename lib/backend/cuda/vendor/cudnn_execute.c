/* A plan with an engine: making a choice the plan's engine, and running it. */
#include "backend/cuda/vendor/cudnn_library_internal.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/* The numerical notes an engine must not have.  In f32, tensor cores mean TF32: cuDNN says so by no
 * note of its own. */
static unsigned refused_notes(const struct fx_cudnn_shape *shape)
{
    unsigned refused = 1u << CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC |
                       1u << CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS |
                       1u << CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;

    return shape->bf16 ? refused : refused | 1u << CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
}

bool fx_cudnn_fit(struct fx_cudnn_plan *plan, const struct fx_cudnn_choice *choice, unsigned wanted)
{
    struct fx_cudnn_terms terms = { .refused = refused_notes(&plan->shape),
                                    .wanted = wanted,
                                    .workspace_limit = plan->cudnn->workspace_limit };

    fx_descriptors_cut(&plan->set, plan->n_graph);
    plan->choice = *choice;
    return fx_cudnn_engine_build(&plan->engine, &plan->set, plan->graph, plan->cudnn->device,
                                 choice, &terms);
}

/* The addresses are given to cuDNN at every call: a step is enqueued once, into a graph that is
 * then replayed, so there is nothing to gain from keeping them; and lanes share nothing. */
cudnnStatus_t fx_cudnn_execute(const struct fx_cudnn_plan *plan, cudnnHandle_t handle, void *x,
                               void *w, void *y, void *workspace)
{
    static const int64_t ids[] = { FX_CUDNN_X, FX_CUDNN_W, FX_CUDNN_Y };
    void *addresses[] = { x, w, y };
    struct fx_descriptors set = { 0 };
    cudnnBackendDescriptor_t pack =
        fx_descriptor_begin(&set, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);

    fx_descriptor_put(&set, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, ids);
    fx_descriptor_put(&set, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3,
                      addresses);
    fx_descriptor_put(&set, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1,
                      &workspace);
    fx_descriptor_end(&set, pack);
    cudnnStatus_t status = set.status;
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendExecute(handle, plan->engine.plan, pack);
    fx_descriptors_fini(&set);
    return status;
}

enum fx_status fx_cudnn_run(const struct fx_cudnn_plan *plan, int lane, void *x, void *w, void *y,
                            void *workspace, struct fx_err *err)
{
    cudnnStatus_t status = fx_cudnn_execute(plan, plan->cudnn->handles[lane], x, w, y, workspace);

    if (status == CUDNN_STATUS_SUCCESS)
        return FX_OK;
    return fx_fail(err, FX_EFAIL, "cuDNN: %s: %s%s", plan->name, cudnnGetErrorString(status),
                   CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED
                       ? "; FUSION_CUDNN_TUNE=1 takes only engines that have run"
                       : "");
}

/* Choosing by time: the best few proposals run on the device, on scratch memory, one after the
 * other.
 *
 * What is measured is one convolution alone on an otherwise idle device with warm caches, in a
 * graph as in a step, because the host takes longer to enqueue a small one than the device to run
 * it: good enough to tell engines apart, not a forecast of a step.  The heuristics' order decides
 * between engines that are equally fast within the noise.  The maps are noise: how fast a card
 * multiplies depends on how many bits change. */

enum { N_TIMED = 8, N_ROUNDS = 3, N_RUNS = 10, NOISE_BYTES = 1 << 20 };
#define NOISE 0.98f /* of the best time so far: what a later choice must stay below */

struct scratch {
    void *x, *w, *y, *workspace; /* owned */
    cudaEvent_t begin, end;      /* owned */
    cudaGraphExec_t runs;        /* owned; N_RUNS of the plan at hand */
};

static size_t map_bytes(const struct fx_cudnn_shape *s, int c, int h, int w)
{
    return (size_t)s->n * (size_t)c * (size_t)h * (size_t)w * (s->bf16 ? 2 : sizeof(float));
}

/* n bytes of numbers of 1/128 to 2 and either sign, the same at every call.  A bf16, and the upper
 * half of an f32, is sign, exponent and mantissa in 1, 8 and 7 bits. */
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

static bool allocate(void **to, size_t n, bool bf16, cudaStream_t stream)
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

static bool scratch_open(struct scratch *scratch, const struct fx_cudnn_shape *s,
                         cudaStream_t stream)
{
    size_t w_values =
        (size_t)s->c_out * (size_t)s->kernel * (size_t)s->kernel * (size_t)(s->c_in / s->groups);

    *scratch = (struct scratch){ 0 };
    return allocate(&scratch->x, map_bytes(s, s->c_in, s->h_in, s->w_in), s->bf16, stream) &&
           allocate(&scratch->w, w_values * (s->bf16 ? 2 : sizeof(float)), s->bf16, stream) &&
           allocate(&scratch->y, map_bytes(s, s->c_out, s->h_out, s->w_out), s->bf16, stream) &&
           cudaEventCreate(&scratch->begin) == cudaSuccess &&
           cudaEventCreate(&scratch->end) == cudaSuccess;
}

/* What belongs to one plan. */
static void forget_plan(struct scratch *scratch)
{
    cudaFree(scratch->workspace);
    if (scratch->runs)
        cudaGraphExecDestroy(scratch->runs);
    scratch->workspace = NULL;
    scratch->runs = NULL;
}

static void scratch_close(struct scratch *scratch)
{
    forget_plan(scratch);
    cudaFree(scratch->x);
    cudaFree(scratch->w);
    cudaFree(scratch->y);
    if (scratch->begin)
        cudaEventDestroy(scratch->begin);
    if (scratch->end)
        cudaEventDestroy(scratch->end);
    cudaGetLastError(); /* a failed allocation is not the next call's error */
}

static bool run(const struct fx_cudnn_plan *plan, const struct scratch *scratch)
{
    return fx_cudnn_execute(plan, plan->cudnn->handles[0], scratch->x, scratch->w, scratch->y,
                            scratch->workspace) == CUDNN_STATUS_SUCCESS;
}

static bool record(const struct fx_cudnn_plan *plan, struct scratch *scratch)
{
    cudaStream_t stream = plan->cudnn->stream;
    cudaGraph_t graph = NULL;
    bool good = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess;

    if (!good)
        return false;
    for (int i = 0; i < N_RUNS && good; i++)
        good = run(plan, scratch);
    good = cudaStreamEndCapture(stream, &graph) == cudaSuccess && good &&
           cudaGraphInstantiate(&scratch->runs, graph, 0) == cudaSuccess;
    if (graph)
        cudaGraphDestroy(graph);
    return good;
}

/* Milliseconds of N_RUNS runs; negative when they failed. */
static float time_round(const struct scratch *scratch, cudaStream_t stream)
{
    float ms;
    bool good = cudaEventRecord(scratch->begin, stream) == cudaSuccess &&
                cudaGraphLaunch(scratch->runs, stream) == cudaSuccess &&
                cudaEventRecord(scratch->end, stream) == cudaSuccess &&
                cudaEventSynchronize(scratch->end) == cudaSuccess &&
                cudaEventElapsedTime(&ms, scratch->begin, scratch->end) == cudaSuccess;

    return good ? ms : -1;
}

/* The fastest of some rounds after one that warms up; negative when one failed.  The run before
 * the capture loads what is loaded at first use. */
static float time_plan(const struct fx_cudnn_plan *plan, struct scratch *scratch)
{
    size_t n = (size_t)plan->engine.workspace_bytes;
    float best = -1;

    forget_plan(scratch);
    if ((n > 0 && cudaMalloc(&scratch->workspace, n) != cudaSuccess) || !run(plan, scratch) ||
        !record(plan, scratch))
        return -1;
    for (int round = 0; round <= N_ROUNDS; round++) {
        float ms = time_round(scratch, plan->cudnn->stream);
        if (ms < 0)
            return -1;
        if (round == 1 || (round > 1 && ms < best))
            best = ms;
    }
    return best;
}

int fx_cudnn_fastest(struct fx_cudnn_plan *plan, const struct fx_cudnn_choices *choices,
                     unsigned wanted)
{
    struct scratch scratch;
    int fastest = -1, n_timed = 0;
    float best = 0;

    bool ready = scratch_open(&scratch, &plan->shape, plan->cudnn->stream);
    for (int i = 0; i < choices->n && n_timed < N_TIMED && ready; i++) {
        if (!fx_cudnn_fit(plan, &choices->items[i], wanted))
            continue;
        float ms = time_plan(plan, &scratch);
        n_timed++;
        if (ms >= 0 && (fastest < 0 || ms < NOISE * best)) {
            fastest = i;
            best = ms;
        }
    }
    scratch_close(&scratch);
    if (fastest < 0)
        fx_log_verbose("cuDNN: %s: could not be timed; chosen by the heuristics", plan->name);
    else
        fx_log_verbose("cuDNN: %s: engine %d, %.1f us, fastest of %d", plan->name,
                       choices->items[fastest].engine, 1000 * (double)best / N_RUNS, n_timed);
    return fastest;
}
