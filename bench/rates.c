/* What a GPU takes for the smallest things that a step is made of: a node of a graph behind another
 * one, a fork to four streams with its join, a kernel launched by itself, and a byte copied.  These
 * are the rates by which a step's time can be foretold.  Prints one JSON object. */
#include "base/tool.h"
#include "kernels/kernels.h"

#include <stdbool.h>
#include <stdio.h>

enum { MIB = 1 << 20, N_NODES = 1000, N_FORKS = 200, N_SIDES = 4, N_COPIES = 10, N_ROUNDS = 5 };

/* Streams, events and memory; owned. */
struct rates {
    cudaStream_t main, sides[N_SIDES];
    cudaEvent_t begin, end, fork, join[N_SIDES];
    struct fx_k_result *result; /* zeros */
    float *from, *to;
    size_t n_bytes;
};

static enum fx_status good(cudaError_t error, struct fx_err *err)
{
    return error == cudaSuccess
               ? FX_OK
               : fx_fail(err, FX_EDEVICE, "device cuda: %s", cudaGetErrorString(error));
}

static enum fx_status open_rates(struct rates *r, size_t n_bytes, struct fx_err *err)
{
    r->n_bytes = n_bytes;
    FX_TRY(good(cudaStreamCreateWithFlags(&r->main, cudaStreamNonBlocking), err));
    FX_TRY(good(cudaEventCreateWithFlags(&r->begin, cudaEventDefault), err));
    FX_TRY(good(cudaEventCreateWithFlags(&r->end, cudaEventDefault), err));
    FX_TRY(good(cudaEventCreateWithFlags(&r->fork, cudaEventDisableTiming), err));
    for (int i = 0; i < N_SIDES; i++) {
        FX_TRY(good(cudaStreamCreateWithFlags(&r->sides[i], cudaStreamNonBlocking), err));
        FX_TRY(good(cudaEventCreateWithFlags(&r->join[i], cudaEventDisableTiming), err));
    }
    FX_TRY(good(cudaMalloc((void **)&r->result, sizeof *r->result), err));
    FX_TRY(good(cudaMalloc((void **)&r->from, n_bytes), err));
    FX_TRY(good(cudaMalloc((void **)&r->to, n_bytes), err));
    FX_TRY(good(cudaMemsetAsync(r->result, 0, sizeof *r->result, r->main), err));
    return good(cudaMemsetAsync(r->from, 0x3c, n_bytes, r->main), err);
}

/* The smallest kernel there is: one float. */
static enum fx_status tiny(const struct rates *r, int at, cudaStream_t stream, struct fx_err *err)
{
    return good(fx_k_running_commit(stream, r->result, r->from + at, r->to + at, 1), err);
}

/* ---- what is timed ---- */

static enum fx_status nodes(const struct rates *r, struct fx_err *err)
{
    for (int i = 0; i < N_NODES; i++)
        FX_TRY(tiny(r, 0, r->main, err));
    return FX_OK;
}

static enum fx_status forks(const struct rates *r, struct fx_err *err)
{
    for (int i = 0; i < N_FORKS; i++) {
        FX_TRY(good(cudaEventRecord(r->fork, r->main), err));
        for (int s = 0; s < N_SIDES; s++) {
            FX_TRY(good(cudaStreamWaitEvent(r->sides[s], r->fork, 0), err));
            FX_TRY(tiny(r, s, r->sides[s], err));
            FX_TRY(good(cudaEventRecord(r->join[s], r->sides[s]), err));
            FX_TRY(good(cudaStreamWaitEvent(r->main, r->join[s], 0), err));
        }
    }
    return FX_OK;
}

static enum fx_status copies(const struct rates *r, struct fx_err *err)
{
    for (int i = 0; i < N_COPIES; i++)
        FX_TRY(good(cudaMemcpyAsync(r->to, r->from, r->n_bytes, cudaMemcpyDeviceToDevice, r->main),
                    err));
    return FX_OK;
}

typedef enum fx_status rates_fn(const struct rates *r, struct fx_err *err);

/* ---- the clock ---- */

static enum fx_status capture(const struct rates *r, rates_fn *enqueue, cudaGraphExec_t *exec,
                              struct fx_err *err)
{
    cudaGraph_t graph = NULL;
    enum fx_status status;

    FX_TRY(good(cudaStreamBeginCapture(r->main, cudaStreamCaptureModeThreadLocal), err));
    status = enqueue(r, err);
    cudaError_t error = cudaStreamEndCapture(r->main, &graph);
    if (status == FX_OK)
        status = good(error, err);
    if (status == FX_OK)
        status = good(cudaGraphInstantiate(exec, graph, 0), err);
    if (graph != NULL)
        cudaGraphDestroy(graph);
    return status;
}

/* One round: of the graph or, without one, of launches one by one. */
static enum fx_status time_round(const struct rates *r, rates_fn *enqueue, cudaGraphExec_t exec,
                                 float *ms, struct fx_err *err)
{
    FX_TRY(good(cudaEventRecord(r->begin, r->main), err));
    if (exec != NULL)
        FX_TRY(good(cudaGraphLaunch(exec, r->main), err));
    else
        FX_TRY(enqueue(r, err));
    FX_TRY(good(cudaEventRecord(r->end, r->main), err));
    FX_TRY(good(cudaEventSynchronize(r->end), err));
    return good(cudaEventElapsedTime(ms, r->begin, r->end), err);
}

/* The least seconds of some rounds, after one that loads what is loaded at first use. */
static enum fx_status fastest(const struct rates *r, rates_fn *enqueue, bool as_graph,
                              double *seconds, struct fx_err *err)
{
    cudaGraphExec_t exec = NULL;
    enum fx_status status;
    float ms = 0, best = 0;

    FX_TRY(enqueue(r, err));
    FX_TRY(good(cudaStreamSynchronize(r->main), err));
    if (as_graph)
        FX_TRY(capture(r, enqueue, &exec, err));
    for (int i = 0; i <= N_ROUNDS; i++) {
        FX_TRY_OUT(time_round(r, enqueue, exec, &ms, err));
        best = i <= 1 || ms < best ? ms : best;
    }
    *seconds = 1e-3 * (double)best;
    status = FX_OK;
out:
    if (exec != NULL)
        cudaGraphExecDestroy(exec);
    return status;
}

static enum fx_status measure(const struct rates *r, struct fx_err *err)
{
    double node, launch, fork, copy;

    FX_TRY(fastest(r, nodes, true, &node, err));
    FX_TRY(fastest(r, nodes, false, &launch, err));
    FX_TRY(fastest(r, forks, true, &fork, err));
    FX_TRY(fastest(r, copies, false, &copy, err));
    printf("{\"node_us\":%.3f,\"launch_us\":%.3f,\"fork_join_us\":%.3f,\"copy_gb_s\":%.1f}\n",
           1e6 * node / N_NODES, 1e6 * launch / N_NODES, 1e6 * fork / N_FORKS,
           2e-9 * N_COPIES * (double)r->n_bytes / copy);
    return FX_OK;
}

static void close_rates(struct rates *r)
{
    cudaFree(r->result);
    cudaFree(r->from);
    cudaFree(r->to);
    for (int i = 0; i < N_SIDES; i++) {
        if (r->join[i] != NULL)
            cudaEventDestroy(r->join[i]);
        if (r->sides[i] != NULL)
            cudaStreamDestroy(r->sides[i]);
    }
    if (r->fork != NULL)
        cudaEventDestroy(r->fork);
    if (r->end != NULL)
        cudaEventDestroy(r->end);
    if (r->begin != NULL)
        cudaEventDestroy(r->begin);
    if (r->main != NULL)
        cudaStreamDestroy(r->main);
}

int main(int argc, char **argv)
{
    int64_t mib = 1024;
    const struct fx_option options[] = {
        { "mib", 0, "MIB", FX_OPT_INT, &mib, 1, 16384, NULL, "that are copied at a time (1024)",
          NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "rates",
        .synopsis = "[options]",
        .summary = "Time a graph's node, a fork and join, a launch and a copy on a GPU.",
        .options = options,
        .example = "rates --mib 1024",
    };
    struct fx_err err = { 0 };
    struct rates r = { 0 };
    enum fx_status status;

    fx_tool_start(&tool, argc, argv);
    status = open_rates(&r, (size_t)mib * MIB, &err);
    if (status == FX_OK)
        status = measure(&r, &err);
    close_rates(&r);
    return fx_tool_exit(status, &err);
}
