/* Copies, sums, dropout and pools of maps: one kernel each. */
#include "backend/cuda/cuda_program.h"

static enum fx_status copy_out(const struct fx_cuda_run *run, const struct fx_step *s,
                               const struct fx_cuda_op *op, struct fx_err *err)
{
    struct fx_k_map from = fx_cuda_map(run, &s->views[0]), to = fx_cuda_map(run, &s->views[1]);

    (void)op;
    FX_CUDA(fx_k_copy(&run->launch, &from, s->first, &to, 0, to.c, fx_cuda_rows(run, &s->views[0]),
                      true));
    return FX_OK;
}

static enum fx_status copy_in(const struct fx_cuda_run *run, const struct fx_step *s,
                              const struct fx_cuda_op *op, struct fx_err *err)
{
    struct fx_k_map from = fx_cuda_map(run, &s->views[0]), to = fx_cuda_map(run, &s->views[1]);

    (void)op;
    FX_CUDA(fx_k_copy(&run->launch, &from, 0, &to, s->first, from.c,
                      fx_cuda_rows(run, &s->views[0]), false));
    return FX_OK;
}

static enum fx_status add(const struct fx_cuda_run *run, const struct fx_step *s,
                          const struct fx_cuda_op *op, struct fx_err *err)
{
    struct fx_k_map a = fx_cuda_map(run, &s->views[0]), b = fx_cuda_map(run, &s->views[1]);
    struct fx_k_map y = fx_cuda_map(run, &s->views[2]);
    bool relu = run->program->model->graph->nodes[s->node].relu;

    (void)op;
    FX_CUDA(fx_k_add(&run->launch, &a, &b, &y, fx_cuda_rows(run, &s->views[2]), relu));
    return FX_OK;
}

static enum fx_status relu_back(const struct fx_cuda_run *run, const struct fx_step *s,
                                const struct fx_cuda_op *op, struct fx_err *err)
{
    struct fx_k_map y = fx_cuda_map(run, &s->views[0]), dy = fx_cuda_map(run, &s->views[1]);
    struct fx_k_map dx = fx_cuda_map(run, &s->views[2]);

    (void)op;
    FX_CUDA(fx_k_relu_back(&run->launch, &y, &dy, &dx, fx_cuda_rows(run, &s->views[0])));
    return FX_OK;
}

static enum fx_status add_into(const struct fx_cuda_run *run, const struct fx_step *s,
                               const struct fx_cuda_op *op, struct fx_err *err)
{
    struct fx_k_map src = fx_cuda_map(run, &s->views[0]), dst = fx_cuda_map(run, &s->views[1]);

    (void)op;
    FX_CUDA(fx_k_add_into(&run->launch, &src, &dst, fx_cuda_rows(run, &s->views[0])));
    return FX_OK;
}

static enum fx_status drop_map(const struct fx_cuda_run *run, const struct fx_step *s,
                               const struct fx_cuda_op *op, struct fx_err *err)
{
    struct fx_k_map x = fx_cuda_map(run, &s->views[0]), y = fx_cuda_map(run, &s->views[1]);
    struct fx_k_drop drop = fx_cuda_drop(run, s->node);

    (void)op;
    FX_CUDA(fx_k_drop_map(&run->launch, &x, &y, fx_cuda_rows(run, &s->views[0]), &drop));
    return FX_OK;
}

static enum fx_status avgpool(const struct fx_cuda_run *run, const struct fx_step *s,
                              const struct fx_cuda_op *op, struct fx_err *err)
{
    const struct fx_view *x = &s->views[0];
    struct fx_k_map from = fx_cuda_map(run, x), to = fx_cuda_map(run, &s->views[1]);

    (void)op;
    FX_CUDA(fx_k_avgpool(&run->launch, &from, &to, run->program->lowered.n, x->area / x->w, x->w));
    return FX_OK;
}

static enum fx_status avgpool_back(const struct fx_cuda_run *run, const struct fx_step *s,
                                   const struct fx_cuda_op *op, struct fx_err *err)
{
    const struct fx_view *dx = &s->views[1];
    struct fx_k_map from = fx_cuda_map(run, &s->views[0]), to = fx_cuda_map(run, dx);

    (void)op;
    FX_CUDA(fx_k_avgpool_back(&run->launch, &from, &to, run->program->lowered.n, dx->area / dx->w,
                              dx->w));
    return FX_OK;
}

static enum fx_status globalpool(const struct fx_cuda_run *run, const struct fx_step *s,
                                 const struct fx_cuda_op *op, struct fx_err *err)
{
    struct fx_k_map x = fx_cuda_map(run, &s->views[0]);

    (void)op;
    FX_CUDA(fx_k_globalpool(&run->launch, &x, run->program->lowered.n, s->views[0].area,
                            fx_cuda_vector(run, s->node, false)));
    return FX_OK;
}

static enum fx_status globalpool_back(const struct fx_cuda_run *run, const struct fx_step *s,
                                      const struct fx_cuda_op *op, struct fx_err *err)
{
    struct fx_k_map dx = fx_cuda_map(run, &s->views[0]);

    (void)op;
    FX_CUDA(fx_k_globalpool_back(&run->launch, fx_cuda_vector(run, s->node, true),
                                 run->program->lowered.n, s->views[0].area, &dx));
    return FX_OK;
}

const struct fx_cuda_step_kind fx_cuda_copy_out = { NULL, copy_out };
const struct fx_cuda_step_kind fx_cuda_copy_in = { NULL, copy_in };
const struct fx_cuda_step_kind fx_cuda_add = { NULL, add };
const struct fx_cuda_step_kind fx_cuda_relu_back = { NULL, relu_back };
const struct fx_cuda_step_kind fx_cuda_add_into = { NULL, add_into };
const struct fx_cuda_step_kind fx_cuda_drop_map = { NULL, drop_map };
const struct fx_cuda_step_kind fx_cuda_avgpool = { NULL, avgpool };
const struct fx_cuda_step_kind fx_cuda_avgpool_back = { NULL, avgpool_back };
const struct fx_cuda_step_kind fx_cuda_globalpool = { NULL, globalpool };
const struct fx_cuda_step_kind fx_cuda_globalpool_back = { NULL, globalpool_back };
