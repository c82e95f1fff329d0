/* ADD with its ReLU, and the sum of two gradients. */
#include "backend/cpu/lower.h"

/* views: a, b, y; all exact */
static enum fx_status run_add(const struct fx_step *s, const struct fx_run *run, struct fx_err *err)
{
    const struct fx_loops *loops = run->program->model->device->loops;
    const struct fx_view *a = &s->views[0], *b = &s->views[1], *y = &s->views[2];
    bool relu = fx_step_node(s, run)->relu;

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < run->program->n; i++)
        loops->add(fx_view_at(a, loops, i, 0), fx_view_at(b, loops, i, 0),
                   fx_view_at(y, loops, i, 0),
                   (size_t)fx_blocks(a->c, loops->lanes) * (size_t)a->area, relu);
    return FX_OK;
}

/* views: y, dy, dx */
static enum fx_status run_relu_back(const struct fx_step *s, const struct fx_run *run,
                                    struct fx_err *err)
{
    const struct fx_loops *loops = run->program->model->device->loops;
    const struct fx_view *y = &s->views[0], *dy = &s->views[1], *dx = &s->views[2];

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < run->program->n; i++)
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

/* views: src, dst */
static enum fx_status run_add_into(const struct fx_step *s, const struct fx_run *run,
                                   struct fx_err *err)
{
    const struct fx_loops *loops = run->program->model->device->loops;
    const struct fx_view *src = &s->views[0], *dst = &s->views[1];
    int whole = src->c / loops->lanes, rest = src->c % loops->lanes;

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < run->program->n; i++) {
        void *to = fx_view_at(dst, loops, i, 0);

        loops->add(to, fx_view_at(src, loops, i, 0), to, (size_t)whole * (size_t)src->area, false);
        if (rest > 0)
            add_partial(loops, fx_view_at(src, loops, i, whole), fx_view_at(dst, loops, i, whole),
                        src->area, rest);
    }
    return FX_OK;
}

enum fx_status fx_lower_add_into(struct fx_lowering *l, int node, const struct fx_view *dst,
                                 const struct fx_view *src)
{
    return fx_lower_emit(l, (struct fx_step){ .fn = run_add_into,
                                              .name = "add gradients",
                                              .node = node,
                                              .views = { *src, *dst },
                                              .accumulate = true });
}

enum fx_status fx_lower_add(struct fx_lowering *l, int node)
{
    const struct fx_node *n = &l->graph->nodes[node];
    int a = fx_lower_input(l, n, 0), b = fx_lower_input(l, n, 1), over = a;
    struct fx_step step = { .fn = run_add, .name = "add", .node = node };

    for (int j = 0; j < 2; j++) {
        FX_TRY(fx_lower_value(l, j ? b : a, &step.views[j]));
        FX_TRY(fx_lower_exact(l, &step.views[j], &step.views[j]));
    }
    /* Over the branch that ends here: the other one is usually read again. */
    if (l->uses[a].n_left > 0 || l->uses[a].is_needed || l->uses[a].is_kept)
        over = b;
    FX_TRY(fx_lower_place_value(l, node, over, &step.views[2]));
    return fx_lower_emit(l, step);
}

enum fx_status fx_lower_add_back(struct fx_lowering *l, int node)
{
    const struct fx_node *n = &l->graph->nodes[node];
    struct fx_view *dy = &l->grads[node], dz;

    FX_TRY(fx_lower_exact(l, dy, &dz));
    if (dz.buffer != dy->buffer) {
        fx_lower_share(l, &dz);
        fx_lower_release(l, dy);
    }
    if (n->relu) {
        struct fx_step step = { .fn = run_relu_back, .name = "relu backward", .node = node };

        FX_TRY(fx_lower_value(l, node, &step.views[0]));
        step.views[1] = dz;
        if (!fx_lower_is_exclusive(l, &dz)) {
            fx_lower_release(l, &dz);
            FX_TRY(fx_lower_new_like(l, node, &dz));
            fx_lower_share(l, &dz);
        }
        step.views[2] = dz;
        FX_TRY(fx_lower_emit(l, step));
    }
    for (int j = 0; j < 2; j++) {
        int x = fx_lower_input(l, n, j);

        if (!l->uses[x].wants_grad)
            continue;
        fx_lower_share(l, &dz);
        FX_TRY(fx_lower_contribute(l, x, &dz));
    }
    fx_lower_release(l, &dz);
    return FX_OK;
}
