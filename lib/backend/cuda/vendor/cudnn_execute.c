/* A plan with an engine: making a choice the plan's engine, and running it. */
#include "backend/cuda/vendor/cudnn_library_internal.h"

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
