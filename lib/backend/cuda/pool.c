/* AVGPOOL2, and GLOBALPOOL, where maps become dense rows. */
#include "backend/cuda/cuda_internal.h"

static enum fx_status avgpool(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                              const struct fx_compiled *compiled, struct fx_err *err)
{
    const struct fx_view *x = &s->operands[0];
    struct fx_k_map from = fx_cuda_map(exec, x), to = fx_cuda_map(exec, &s->operands[1]);

    (void)compiled;
    FX_CUDA(
        fx_k_avgpool(&exec->launch, &from, &to, exec->program->lowered.n, x->area / x->w, x->w));
    return FX_OK;
}

static enum fx_status avgpool_back(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                   const struct fx_compiled *compiled, struct fx_err *err)
{
    const struct fx_view *dx = &s->operands[1];
    struct fx_k_map from = fx_cuda_map(exec, &s->operands[0]), to = fx_cuda_map(exec, dx);

    (void)compiled;
    FX_CUDA(fx_k_avgpool_back(&exec->launch, &from, &to, exec->program->lowered.n, dx->area / dx->w,
                              dx->w));
    return FX_OK;
}

static enum fx_status globalpool(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                 const struct fx_compiled *compiled, struct fx_err *err)
{
    struct fx_k_map x = fx_cuda_map(exec, &s->operands[0]);

    (void)compiled;
    FX_CUDA(fx_k_globalpool(&exec->launch, &x, exec->program->lowered.n, s->operands[0].area,
                            fx_cuda_dense(exec, s->node, false)));
    return FX_OK;
}

static enum fx_status globalpool_back(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                      const struct fx_compiled *compiled, struct fx_err *err)
{
    struct fx_k_map dx = fx_cuda_map(exec, &s->operands[0]);

    (void)compiled;
    FX_CUDA(fx_k_globalpool_back(&exec->launch, fx_cuda_dense(exec, s->node, true),
                                 exec->program->lowered.n, s->operands[0].area, &dx));
    return FX_OK;
}

const struct fx_cuda_operator fx_cuda_avgpool = { NULL, avgpool };
const struct fx_cuda_operator fx_cuda_avgpool_back = { NULL, avgpool_back };
const struct fx_cuda_operator fx_cuda_globalpool = { NULL, globalpool };
const struct fx_cuda_operator fx_cuda_globalpool_back = { NULL, globalpool_back };
