/* Copies of channels into and out of concatenations. */
#include "backend/cuda/cuda_internal.h"

static enum fx_status copy_out(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                               const struct fx_compiled *compiled, struct fx_err *err)
{
    struct fx_k_map from = fx_cuda_map(exec, &s->operands[0]),
                    to = fx_cuda_map(exec, &s->operands[1]);

    (void)compiled;
    FX_CUDA(fx_k_copy(&exec->launch, &from, s->first, &to, 0, to.c,
                      fx_cuda_rows(exec, &s->operands[0])));
    return FX_OK;
}

static enum fx_status copy_in(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                              const struct fx_compiled *compiled, struct fx_err *err)
{
    struct fx_k_map from = fx_cuda_map(exec, &s->operands[0]),
                    to = fx_cuda_map(exec, &s->operands[1]);

    (void)compiled;
    FX_CUDA(fx_k_copy(&exec->launch, &from, 0, &to, s->first, from.c,
                      fx_cuda_rows(exec, &s->operands[0])));
    return FX_OK;
}

const struct fx_cuda_operator fx_cuda_copy_out = { NULL, copy_out };
const struct fx_cuda_operator fx_cuda_copy_in = { NULL, copy_in };
