/* ADD with its ReLU, and the sum of two gradients. */
#include "backend/cpu/cpu_run.h"

enum fx_status fx_cpu_add(const struct fx_step *s, const struct fx_run *run, struct fx_err *err)
{
    const struct fx_loops *loops = run->program->model->device->loops;
    const struct fx_view *a = &s->views[0], *b = &s->views[1], *y = &s->views[2];
    bool relu = fx_step_node(s, run)->relu;

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < run->program->lowered.n; i++)
        loops->add(fx_view_at(a, loops, i, 0), fx_view_at(b, loops, i, 0),
                   fx_view_at(y, loops, i, 0),
                   (size_t)fx_blocks(a->c, loops->lanes) * (size_t)a->area, relu);
    return FX_OK;
}

enum fx_status fx_cpu_relu_back(const struct fx_step *s, const struct fx_run *run,
                                struct fx_err *err)
{
    const struct fx_loops *loops = run->program->model->device->loops;
    const struct fx_view *y = &s->views[0], *dy = &s->views[1], *dx = &s->views[2];

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < run->program->lowered.n; i++)
        loops->relu_back(fx_view_at(y, loops, i, 0), fx_view_at(dy, loops, i, 0),
                         fx_view_at(dx, loops, i, 0),
                         (size_t)fx_blocks(y->c, loops->lanes) * (size_t)y->area);
    return FX_OK;
}

/* dst += src in the first `lanes` lanes of each pixel only: what lies beyond belongs to others. */
static void add_partial(const struct fx_loops *loops, const char *src, char *dst, int area,
                        int lanes)
{
    size_t pixel = (size_t)loops->lanes * loops->value_bytes;
    struct fx_lanes a, b;

    for (int p = 0; p < area; p++, src += pixel, dst += pixel) {
        loops->to_f32(src, a.v, (size_t)loops->lanes);
        loops->to_f32(dst, b.v, (size_t)loops->lanes);
        for (int l = 0; l < lanes; l++)
            b.v[l] += a.v[l];
        loops->from_f32(b.v, dst, (size_t)loops->lanes);
    }
}

enum fx_status fx_cpu_add_into(const struct fx_step *s, const struct fx_run *run,
                               struct fx_err *err)
{
    const struct fx_loops *loops = run->program->model->device->loops;
    const struct fx_view *src = &s->views[0], *dst = &s->views[1];
    int whole = src->c / loops->lanes, rest = src->c % loops->lanes;

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < run->program->lowered.n; i++) {
        void *to = fx_view_at(dst, loops, i, 0);

        loops->add(to, fx_view_at(src, loops, i, 0), to, (size_t)whole * (size_t)src->area, false);
        if (rest > 0)
            add_partial(loops, fx_view_at(src, loops, i, whole), fx_view_at(dst, loops, i, whole),
                        src->area, rest);
    }
    return FX_OK;
}
