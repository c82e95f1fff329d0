/* ADD of maps, its ReLU backward, and the sum of two gradients: a kernel each. */
#include "backend/cuda/cuda_internal.h"

static enum fx_status add(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                          const struct fx_compiled *compiled, struct fx_err *err)
{
    struct fx_k_map a = fx_cuda_map(exec, &s->operands[0]), b = fx_cuda_map(exec, &s->operands[1]);
    struct fx_k_map y = fx_cuda_map(exec, &s->operands[2]);
    bool relu = exec->program->model->graph->nodes[s->node].relu;

    (void)compiled;
    FX_CUDA(fx_k_add(&exec->launch, &a, &b, &y, fx_cuda_rows(exec, &s->operands[2]), relu));
    return FX_OK;
}

static enum fx_status relu_back(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                const struct fx_compiled *compiled, struct fx_err *err)
{
    struct fx_k_map y = fx_cuda_map(exec, &s->operands[0]), dy = fx_cuda_map(exec, &s->operands[1]);
    struct fx_k_map dx = fx_cuda_map(exec, &s->operands[2]);

    (void)compiled;
    FX_CUDA(fx_k_relu_back(&exec->launch, &y, &dy, &dx, fx_cuda_rows(exec, &s->operands[0])));
    return FX_OK;
}

static enum fx_status add_into(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                               const struct fx_compiled *compiled, struct fx_err *err)
{
    struct fx_k_map src = fx_cuda_map(exec, &s->operands[0]),
                    dst = fx_cuda_map(exec, &s->operands[1]);

    (void)compiled;
    FX_CUDA(fx_k_add_into(&exec->launch, &src, &dst, fx_cuda_rows(exec, &s->operands[0])));
    return FX_OK;
}

const struct fx_cuda_operator fx_cuda_add = { NULL, add };
const struct fx_cuda_operator fx_cuda_relu_back = { NULL, relu_back };
const struct fx_cuda_operator fx_cuda_add_into = { NULL, add_into };
