/* ADD with its ReLU, and the sum of two gradients. */
#include "backend/cpu/cpu_internal.h"

enum fx_status fx_cpu_add(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                          struct fx_err *err)
{
    const struct fx_loops *loops = exec->program->model->device->loops;
    const struct fx_view *a = &s->operands[0], *b = &s->operands[1], *y = &s->operands[2];
    bool relu = fx_instr_node(s, exec)->relu;

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < exec->program->lowered.n; i++)
        loops->add(fx_view_at(a, loops, i, 0), fx_view_at(b, loops, i, 0),
                   fx_view_at(y, loops, i, 0),
                   (size_t)fx_blocks(a->c, loops->block) * (size_t)a->area, relu);
    return FX_OK;
}

enum fx_status fx_cpu_relu_back(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                                struct fx_err *err)
{
    const struct fx_loops *loops = exec->program->model->device->loops;
    const struct fx_view *y = &s->operands[0], *dy = &s->operands[1], *dx = &s->operands[2];

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < exec->program->lowered.n; i++)
        loops->relu_back(fx_view_at(y, loops, i, 0), fx_view_at(dy, loops, i, 0),
                         fx_view_at(dx, loops, i, 0),
                         (size_t)fx_blocks(y->c, loops->block) * (size_t)y->area);
    return FX_OK;
}

/* dst += src in the first `used` channels of each pixel only: what lies beyond belongs to others.
 */
static void add_partial(const struct fx_loops *loops, const char *src, char *dst, int area,
                        int used)
{
    size_t pixel = (size_t)loops->block * loops->value_bytes;
    struct fx_channels a, b;

    for (int p = 0; p < area; p++, src += pixel, dst += pixel) {
        loops->to_f32(src, a.v, (size_t)loops->block);
        loops->to_f32(dst, b.v, (size_t)loops->block);
        for (int l = 0; l < used; l++)
            b.v[l] += a.v[l];
        loops->from_f32(b.v, dst, (size_t)loops->block);
    }
}

enum fx_status fx_cpu_add_into(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                               struct fx_err *err)
{
    const struct fx_loops *loops = exec->program->model->device->loops;
    const struct fx_view *src = &s->operands[0], *dst = &s->operands[1];
    int whole = src->c / loops->block, rest = src->c % loops->block;

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < exec->program->lowered.n; i++) {
        void *to = fx_view_at(dst, loops, i, 0);

        loops->add(to, fx_view_at(src, loops, i, 0), to, (size_t)whole * (size_t)src->area, false);
        if (rest > 0)
            add_partial(loops, fx_view_at(src, loops, i, whole), fx_view_at(dst, loops, i, whole),
                        src->area, rest);
    }
    return FX_OK;
}
