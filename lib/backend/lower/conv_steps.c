/* CONV2D: a step for each direction, on maps that are exact, or split where the analysis found that
 * both neighbours are. */
#include "backend/lower/lower_private.h"

static enum fx_status compile(struct fx_lowering *l, int node, enum fx_conv_direction direction,
                              const struct fx_view *x, const struct fx_view *y)
{
    if (!l->rules->conv)
        return FX_OK;
    return l->rules->conv(l->rules->ctx, node, direction, x, y, l->err);
}

enum fx_status fx_lower_conv_between(struct fx_lowering *l, int node, const struct fx_view *x,
                                     const struct fx_view *y)
{
    FX_TRY(compile(l, node, FX_CONV_FORWARD, x, y));
    return fx_lower_emit(
        l, (struct fx_step){ .kind = FX_STEP_CONV_FORWARD, .node = node, .views = { *x, *y } });
}

/* The maps of the weights steps that may still run beside this one are alive at it. */
static void keep_aside(struct fx_lowering *l)
{
    const struct fx_steps *s = l->steps;

    for (int i = 0; i < FX_LOWER_ASIDE; i++)
        for (int v = 0; l->aside[i] >= 0 && v < FX_STEP_MAX_VIEWS; v++)
            if (s->steps[l->aside[i]].views[v].image_bytes > 0)
                fx_lower_touch(l, s->steps[l->aside[i]].views[v].buffer);
    for (int i = 1; i < FX_LOWER_ASIDE; i++)
        l->aside[i - 1] = l->aside[i];
    l->aside[FX_LOWER_ASIDE - 1] = s->n_steps;
}

enum fx_status fx_lower_conv_weights(struct fx_lowering *l, int node, const struct fx_view *x,
                                     const struct fx_view *dy)
{
    FX_TRY(compile(l, node, FX_CONV_WEIGHTS, x, dy));
    if (l->rules->weights_aside)
        keep_aside(l);
    return fx_lower_emit(
        l, (struct fx_step){ .kind = FX_STEP_CONV_WEIGHTS, .node = node, .views = { *x, *dy } });
}

enum fx_status fx_lower_conv_data(struct fx_lowering *l, int node, const struct fx_view *dy,
                                  const struct fx_view *dx)
{
    FX_TRY(compile(l, node, FX_CONV_DATA, dx, dy));
    return fx_lower_emit(
        l, (struct fx_step){ .kind = FX_STEP_CONV_DATA, .node = node, .views = { *dy, *dx } });
}

/* What a convolution reads: the view itself if it is as the node wants it, else a copy. */
static enum fx_status readable(struct fx_lowering *l, int node, const struct fx_view *view,
                               struct fx_view *out)
{
    if (l->uses[node].n_groups == 1)
        return fx_lower_exact(l, view, out);
    *out = *view; /* split: by analysis, both neighbours are exact */
    return FX_OK;
}

enum fx_status fx_lower_conv(struct fx_lowering *l, int node)
{
    struct fx_view x, y;

    if (l->uses[node].is_pooled)
        return FX_OK; /* done by the pool */
    FX_TRY(fx_lower_value(l, fx_lower_input(l, &l->graph->nodes[node], 0), &x));
    FX_TRY(readable(l, node, &x, &x));
    FX_TRY(fx_lower_place_value(l, node, -1, &y));
    return fx_lower_conv_between(l, node, &x, &y);
}

/* The weights first: then the input, if it was computed again for them, makes room for its
 * gradient. */
enum fx_status fx_lower_conv_back(struct fx_lowering *l, int node)
{
    int v = fx_lower_input(l, &l->graph->nodes[node], 0);
    struct fx_view x, dx, dy;

    FX_TRY(readable(l, node, &l->grads[node], &dy));
    FX_TRY(fx_lower_value(l, v, &x));
    FX_TRY(readable(l, node, &x, &x));
    FX_TRY(fx_lower_conv_weights(l, node, &x, &dy));
    if (l->uses[v].wants_grad) {
        FX_TRY(fx_lower_new_like(l, v, &dx));
        FX_TRY(fx_lower_conv_data(l, node, &dy, &dx));
        fx_lower_share(l, &dx);
        FX_TRY(fx_lower_contribute(l, v, &dx));
    }
    fx_lower_release(l, &l->grads[node]);
    return FX_OK;
}
