/* DROPOUT of maps that no norm applies. */
#include "backend/cuda/cuda_internal.h"

static enum fx_status drop_map(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                               const struct fx_compiled *compiled, struct fx_err *err)
{
    struct fx_k_map x = fx_cuda_map(exec, &s->operands[0]), y = fx_cuda_map(exec, &s->operands[1]);
    struct fx_k_mask mask = fx_cuda_mask(exec, s->node, s->draws);

    (void)compiled;
    FX_CUDA(fx_k_drop_map(&exec->launch, &x, &y, fx_cuda_rows(exec, &s->operands[0]), &mask));
    return FX_OK;
}

const struct fx_cuda_operator fx_cuda_drop_map = { NULL, drop_map };
