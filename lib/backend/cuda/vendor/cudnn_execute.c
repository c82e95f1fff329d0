/* A plan with an engine: making a choice the plan's engine, and running it. */
#include "backend/cuda/vendor/cudnn_library_internal.h"

#include "backend/cuda/timing.h"
#include "base/log.h"

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

/* Choosing by time (backend/cuda/timing.h): the best few proposals run on scratch memory, one after
 * the other.  The heuristics' order decides between engines that are equally fast within the noise.
 */

enum { N_TIMED = 8 };

struct scratch {
    void *x, *w, *y, *workspace; /* owned */
};

/* A plan and what it runs on. */
struct trial {
    const struct fx_cudnn_plan *plan;
    struct scratch scratch;
};

static size_t map_bytes(const struct fx_cudnn_shape *s, int c, int h, int w)
{
    return (size_t)s->n * (size_t)c * (size_t)h * (size_t)w * (s->bf16 ? 2 : sizeof(float));
}

static bool scratch_open(struct scratch *scratch, const struct fx_cudnn_shape *s,
                         cudaStream_t stream)
{
    size_t w_values =
        (size_t)s->c_out * (size_t)s->kernel * (size_t)s->kernel * (size_t)(s->c_in / s->groups);
    size_t w_bytes = w_values * (s->bf16 ? 2 : sizeof(float));

    return fx_timing_noise(&scratch->x, map_bytes(s, s->c_in, s->h_in, s->w_in), s->bf16, stream) &&
           fx_timing_noise(&scratch->w, w_bytes, s->bf16, stream) &&
           fx_timing_noise(&scratch->y, map_bytes(s, s->c_out, s->h_out, s->w_out), s->bf16,
                           stream);
}

static void scratch_close(struct scratch *scratch)
{
    cudaFree(scratch->workspace);
    cudaFree(scratch->x);
    cudaFree(scratch->w);
    cudaFree(scratch->y);
}

static bool run(const void *what)
{
    const struct trial *trial = what;
    const struct scratch *s = &trial->scratch;

    return fx_cudnn_execute(trial->plan, trial->plan->cudnn->handles[0], s->x, s->w, s->y,
                            s->workspace) == CUDNN_STATUS_SUCCESS;
}

/* Times the plan with the engine that it has. */
static void time_plan(struct trial *trial, struct fx_timing *timing, int which)
{
    size_t n = (size_t)trial->plan->engine.workspace_bytes;

    cudaFree(trial->scratch.workspace);
    trial->scratch.workspace = NULL;
    if (n == 0 || cudaMalloc(&trial->scratch.workspace, n) == cudaSuccess)
        fx_timing_try(timing, which, run, trial);
}

int fx_cudnn_fastest(struct fx_cudnn_plan *plan, const struct fx_cudnn_choices *choices,
                     unsigned wanted)
{
    struct trial trial = { .plan = plan };
    struct fx_timing timing;
    cudaStream_t stream = plan->cudnn->stream;

    bool ready =
        fx_timing_open(&timing, stream) && scratch_open(&trial.scratch, &plan->shape, stream);
    for (int i = 0; i < choices->n && timing.n < N_TIMED && ready; i++)
        if (fx_cudnn_fit(plan, &choices->items[i], wanted))
            time_plan(&trial, &timing, i);
    scratch_close(&trial.scratch);
    fx_timing_close(&timing);
    if (timing.fastest < 0)
        fx_log_verbose("cuDNN: %s: could not be timed; chosen by the heuristics", plan->name);
    else
        fx_log_verbose("cuDNN: %s: engine %d, %.1f us, fastest of %d", plan->name,
                       choices->items[timing.fastest].engine, fx_timing_us(&timing), timing.n);
    return timing.fastest;
}
