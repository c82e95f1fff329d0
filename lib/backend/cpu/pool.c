/* AVGPOOL2, and GLOBALPOOL, where maps become dense rows. */
#include "backend/cpu/cpu_internal.h"

enum fx_status fx_cpu_avgpool(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                              struct fx_err *err)
{
    const struct fx_loops *loops = exec->program->model->device->loops;
    const struct fx_view *x = &s->operands[0], *y = &s->operands[1];
    int n_blocks = fx_blocks(x->c, loops->block);

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < exec->program->lowered.n * n_blocks; i++)
        loops->avgpool2(fx_view_at(x, loops, i / n_blocks, i % n_blocks),
                        fx_view_at(y, loops, i / n_blocks, i % n_blocks), y->area / y->w, y->w,
                        x->w);
    return FX_OK;
}

enum fx_status fx_cpu_avgpool_back(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                                   struct fx_err *err)
{
    const struct fx_loops *loops = exec->program->model->device->loops;
    const struct fx_view *dy = &s->operands[0], *dx = &s->operands[1];
    int n_blocks = fx_blocks(dx->c, loops->block);

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < exec->program->lowered.n * n_blocks; i++)
        loops->avgpool2_back(fx_view_at(dy, loops, i / n_blocks, i % n_blocks),
                             fx_view_at(dx, loops, i / n_blocks, i % n_blocks), dx->area / dx->w,
                             dx->w);
    return FX_OK;
}

enum fx_status fx_cpu_globalpool(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                                 struct fx_err *err)
{
    const struct fx_loops *loops = exec->program->model->device->loops;
    const struct fx_view *x = &s->operands[0];
    float *y = exec->program->lowered.nodes[s->node].value.data;
    int n_blocks = fx_blocks(x->c, loops->block);

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < exec->program->lowered.n * n_blocks; i++) {
        int first = i % n_blocks * loops->block;
        float *row = y + (size_t)(i / n_blocks) * (size_t)x->c + (size_t)first;
        struct fx_channels sum;

        loops->sum(fx_view_at(x, loops, i / n_blocks, i % n_blocks), (size_t)x->area, sum.v);
        for (int l = 0; l < loops->block && first + l < x->c; l++)
            row[l] = sum.v[l] / (float)x->area;
    }
    return FX_OK;
}

enum fx_status fx_cpu_globalpool_back(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                                      struct fx_err *err)
{
    const struct fx_loops *loops = exec->program->model->device->loops;
    const struct fx_view *dx = &s->operands[0];
    const float *dy = exec->program->lowered.nodes[s->node].gradient.data;
    int n_blocks = fx_blocks(dx->c, loops->block);

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < exec->program->lowered.n * n_blocks; i++) {
        int first = i % n_blocks * loops->block;
        const float *row = dy + (size_t)(i / n_blocks) * (size_t)dx->c + (size_t)first;
        struct fx_channels g = { { 0 } };

        for (int l = 0; l < loops->block && first + l < dx->c; l++)
            g.v[l] = row[l] / (float)dx->area;
        loops->fill(fx_view_at(dx, loops, i / n_blocks, i % n_blocks), (size_t)dx->area, g.v);
    }
    return FX_OK;
}
