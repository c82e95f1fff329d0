/* AVGPOOL2, and GLOBALPOOL, where maps become vectors.
 *
 * A 1x1 convolution and the mean of pixels commute, so a convolution that only an AVGPOOL2 reads
 * (DenseNet's transitions) runs behind the pool, on a quarter of the pixels. */
#include "backend/cpu/lower.h"

/* views: x, y */
static enum fx_status run_avgpool(const struct fx_step *s, const struct fx_run *run,
                                  struct fx_err *err)
{
    const struct fx_loops *loops = run->program->model->device->loops;
    const struct fx_view *x = &s->views[0], *y = &s->views[1];
    int n_blocks = fx_blocks(x->c, loops->lanes);

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < run->program->n * n_blocks; i++)
        loops->avgpool2(fx_view_at(x, loops, i / n_blocks, i % n_blocks),
                        fx_view_at(y, loops, i / n_blocks, i % n_blocks), y->area / y->w, y->w,
                        x->w);
    return FX_OK;
}

/* views: dy, dx */
static enum fx_status run_avgpool_back(const struct fx_step *s, const struct fx_run *run,
                                       struct fx_err *err)
{
    const struct fx_loops *loops = run->program->model->device->loops;
    const struct fx_view *dy = &s->views[0], *dx = &s->views[1];
    int n_blocks = fx_blocks(dx->c, loops->lanes);

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < run->program->n * n_blocks; i++)
        loops->avgpool2_back(fx_view_at(dy, loops, i / n_blocks, i % n_blocks),
                             fx_view_at(dx, loops, i / n_blocks, i % n_blocks), dx->area / dx->w,
                             dx->w);
    return FX_OK;
}

/* views: x; the node's vector is the result */
static enum fx_status run_globalpool(const struct fx_step *s, const struct fx_run *run,
                                     struct fx_err *err)
{
    const struct fx_loops *loops = run->program->model->device->loops;
    const struct fx_view *x = &s->views[0];
    float *y = run->program->nodes[s->node].value.data;
    int n_blocks = fx_blocks(x->c, loops->lanes);

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < run->program->n * n_blocks; i++) {
        int first = i % n_blocks * loops->lanes;
        float *row = y + (size_t)(i / n_blocks) * (size_t)x->c + (size_t)first;
        struct fx_lanes sum;

        loops->sum(fx_view_at(x, loops, i / n_blocks, i % n_blocks), (size_t)x->area, sum.v);
        for (int l = 0; l < loops->lanes && first + l < x->c; l++)
            row[l] = sum.v[l] / (float)x->area;
    }
    return FX_OK;
}

/* views: dx; from the gradient of the node's vector */
static enum fx_status run_globalpool_back(const struct fx_step *s, const struct fx_run *run,
                                          struct fx_err *err)
{
    const struct fx_loops *loops = run->program->model->device->loops;
    const struct fx_view *dx = &s->views[0];
    const float *dy = run->program->nodes[s->node].gradient.data;
    int n_blocks = fx_blocks(dx->c, loops->lanes);

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < run->program->n * n_blocks; i++) {
        int first = i % n_blocks * loops->lanes;
        const float *row = dy + (size_t)(i / n_blocks) * (size_t)dx->c + (size_t)first;
        struct fx_lanes g = { { 0 } };

        for (int l = 0; l < loops->lanes && first + l < dx->c; l++)
            g.v[l] = row[l] / (float)dx->area;
        loops->fill(fx_view_at(dx, loops, i / n_blocks, i % n_blocks), (size_t)dx->area, g.v);
    }
    return FX_OK;
}

enum fx_status fx_lower_avgpool(struct fx_lowering *l, int node)
{
    struct fx_value_shape out = l->graph->nodes[node].shape;
    int x = fx_lower_input(l, &l->graph->nodes[node], 0), conv = x;
    struct fx_step step = { .fn = run_avgpool, .name = "avgpool", .node = node };
    struct fx_view *pooled = &l->program->nodes[conv].pooled, y;

    if (l->uses[conv].is_pooled)
        x = fx_lower_input(l, &l->graph->nodes[conv], 0);
    FX_TRY(fx_lower_value(l, x, &step.views[0]));
    FX_TRY(fx_lower_exact(l, &step.views[0], &step.views[0]));
    FX_TRY(fx_lower_place_value(l, node, -1, &y));
    step.views[1] = y;
    if (l->uses[conv].is_pooled) {
        FX_TRY(fx_lower_new_map(l, step.views[0].c, out.h * out.w, out.w, pooled));
        step.views[1] = *pooled;
    }
    FX_TRY(fx_lower_emit(l, step));
    return l->uses[conv].is_pooled ? fx_lower_conv_between(l, conv, pooled, &y) : FX_OK;
}

/* From the gradient of the pooled map to that of x. */
static enum fx_status spread(struct fx_lowering *l, int node, int x, const struct fx_view *dy)
{
    struct fx_step step = {
        .fn = run_avgpool_back, .name = "avgpool backward", .node = node, .views = { *dy }
    };

    FX_TRY(fx_lower_new_like(l, x, &step.views[1]));
    FX_TRY(fx_lower_emit(l, step));
    fx_lower_share(l, &step.views[1]);
    return fx_lower_contribute(l, x, &step.views[1]);
}

enum fx_status fx_lower_avgpool_back(struct fx_lowering *l, int node)
{
    int x = fx_lower_input(l, &l->graph->nodes[node], 0), conv = x;
    const struct fx_view *pooled = &l->program->nodes[conv].pooled;
    struct fx_view dy, dx;

    FX_TRY(fx_lower_exact(l, &l->grads[node], &dy));
    dx = dy;
    if (l->uses[conv].is_pooled) {
        x = fx_lower_input(l, &l->graph->nodes[conv], 0);
        FX_TRY(fx_lower_conv_weights(l, conv, pooled, &dy));
        if (l->uses[x].wants_grad) {
            FX_TRY(fx_lower_new_map(l, pooled->c, pooled->area, pooled->w, &dx));
            FX_TRY(fx_lower_conv_data(l, conv, &dy, &dx));
        }
    }
    fx_lower_release(l, &l->grads[node]);
    return l->uses[x].wants_grad ? spread(l, node, x, &dx) : FX_OK;
}

enum fx_status fx_lower_globalpool(struct fx_lowering *l, int node)
{
    struct fx_step step = { .fn = run_globalpool, .name = "globalpool", .node = node };

    FX_TRY(fx_lower_value(l, fx_lower_input(l, &l->graph->nodes[node], 0), &step.views[0]));
    return fx_lower_emit(l, step);
}

enum fx_status fx_lower_globalpool_back(struct fx_lowering *l, int node)
{
    int x = fx_lower_input(l, &l->graph->nodes[node], 0);
    struct fx_step step = { .fn = run_globalpool_back,
                            .name = "globalpool backward",
                            .node = node };

    FX_TRY(fx_lower_new_like(l, x, &step.views[0]));
    FX_TRY(fx_lower_emit(l, step));
    fx_lower_share(l, &step.views[0]);
    return fx_lower_contribute(l, x, &step.views[0]);
}
