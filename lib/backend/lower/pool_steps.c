/* AVGPOOL2, and GLOBALPOOL, where maps become vectors.
 *
 * A 1x1 convolution and the mean of pixels commute, so a convolution that only an AVGPOOL2 reads
 * (DenseNet's transitions) runs behind the pool, on a quarter of the pixels. */
#include "backend/lower/lower_private.h"

enum fx_status fx_lower_avgpool(struct fx_lowering *l, int node)
{
    struct fx_value_shape out = l->graph->nodes[node].shape;
    int x = fx_lower_input(l, &l->graph->nodes[node], 0), conv = x;
    struct fx_step step = { .kind = FX_STEP_AVGPOOL, .node = node };
    struct fx_view *pooled = &l->uses[conv].pooled, y;

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
    struct fx_step step = { .kind = FX_STEP_AVGPOOL_BACK, .node = node, .views = { *dy } };

    FX_TRY(fx_lower_new_like(l, x, &step.views[1]));
    FX_TRY(fx_lower_emit(l, step));
    fx_lower_share(l, &step.views[1]);
    return fx_lower_contribute(l, x, &step.views[1]);
}

enum fx_status fx_lower_avgpool_back(struct fx_lowering *l, int node)
{
    int x = fx_lower_input(l, &l->graph->nodes[node], 0), conv = x;
    const struct fx_view *pooled = &l->uses[conv].pooled;
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
    struct fx_step step = { .kind = FX_STEP_GLOBALPOOL, .node = node };

    FX_TRY(fx_lower_value(l, fx_lower_input(l, &l->graph->nodes[node], 0), &step.views[0]));
    return fx_lower_emit(l, step);
}

enum fx_status fx_lower_globalpool_back(struct fx_lowering *l, int node)
{
    int x = fx_lower_input(l, &l->graph->nodes[node], 0);
    struct fx_step step = { .kind = FX_STEP_GLOBALPOOL_BACK, .node = node };

    FX_TRY(fx_lower_new_like(l, x, &step.views[0]));
    FX_TRY(fx_lower_emit(l, step));
    fx_lower_share(l, &step.views[0]);
    return fx_lower_contribute(l, x, &step.views[0]);
}
