/* CONV2D: an instruction for each direction, on maps that are exact, or group-major where the
 * analysis found that both neighbours are. */
#include "backend/lower/lower_internal.h"

static enum fx_status compile(struct fx_lowering *l, int node, enum fx_conv_direction direction,
                              const struct fx_view *x, const struct fx_view *y)
{
    if (!l->rules->conv)
        return FX_OK;
    return l->rules->conv(l->rules->ctx, node, direction, x, y, l->err);
}

enum fx_status fx_lower_conv_between(struct fx_lowering *l, int node, int norm,
                                     const struct fx_view *x, const struct fx_view *y)
{
    FX_TRY(compile(l, node, FX_CONV_FORWARD, x, y));
    return fx_lower_emit(
        l, (struct fx_instr){
               .op = FX_INSTR_CONV_FORWARD, .node = node, .norm = norm, .operands = { *x, *y } });
}

/* The operands of weight gradients that may still run beside this one are alive at it. */
static void keep_wgrad_operands(struct fx_lowering *l)
{
    const struct fx_instr_list *list = l->list;

    for (int i = 0; i < FX_LOWER_WGRAD_DELAY; i++)
        for (int v = 0; l->wgrads[i] >= 0 && v < FX_INSTR_MAX_OPERANDS; v++)
            if (list->instrs[l->wgrads[i]].operands[v].image_bytes > 0)
                fx_lower_touch(l, list->instrs[l->wgrads[i]].operands[v].buffer);
    for (int i = 1; i < FX_LOWER_WGRAD_DELAY; i++)
        l->wgrads[i - 1] = l->wgrads[i];
    l->wgrads[FX_LOWER_WGRAD_DELAY - 1] = list->n_instrs;
}

enum fx_status fx_lower_conv_weights(struct fx_lowering *l, int node, int norm,
                                     const struct fx_view *x, const struct fx_view *dy)
{
    FX_TRY(compile(l, node, FX_CONV_WEIGHTS, x, dy));
    if (l->rules->wgrad_stream)
        keep_wgrad_operands(l);
    return fx_lower_emit(l, (struct fx_instr){ .op = FX_INSTR_CONV_BACK_WEIGHTS,
                                               .node = node,
                                               .norm = norm,
                                               .operands = { *x, *dy } });
}

enum fx_status fx_lower_conv_data(struct fx_lowering *l, int node, const struct fx_view *dy,
                                  const struct fx_view *dx, bool accumulate)
{
    FX_TRY(compile(l, node, FX_CONV_DATA, dx, dy));
    return fx_lower_emit(l, (struct fx_instr){ .op = FX_INSTR_CONV_BACK_DATA,
                                               .node = node,
                                               .operands = { *dy, *dx },
                                               .accumulate = accumulate });
}

/* What a convolution reads: the view itself if it is as the node wants it, else a copy. */
static enum fx_status readable(struct fx_lowering *l, int node, const struct fx_view *view,
                               struct fx_view *out)
{
    if (l->uses[node].n_groups == 1)
        return fx_lower_exact(l, view, out);
    *out = *view; /* group-major: by analysis, both neighbours are exact */
    return FX_OK;
}

/* What the convolution reads, and the norm that it applies to that (0: none). */
static enum fx_status input_of(struct fx_lowering *l, int node, struct fx_view *x, int *norm)
{
    int v = fx_lower_input(l, &l->graph->nodes[node], 0);

    *norm = 0;
    if (l->uses[v].is_absorbed) {
        *norm = v;
        return fx_lower_value(l, fx_lower_input(l, &l->graph->nodes[v], 0), x);
    }
    FX_TRY(fx_lower_value(l, v, x));
    return readable(l, node, x, x);
}

enum fx_status fx_lower_conv(struct fx_lowering *l, int node)
{
    struct fx_view x, y;
    int norm;

    if (l->uses[node].is_pooled)
        return FX_OK; /* done by the pool */
    FX_TRY(input_of(l, node, &x, &norm));
    if (norm > 0)
        l->uses[fx_lower_input(l, &l->graph->nodes[norm], 0)].n_left--;
    FX_TRY(fx_lower_result(l, node, -1, &y));
    return fx_lower_conv_between(l, node, norm, &x, &y);
}

/* Whether a convolution that reads v can add to the gradient of v so far. */
static bool can_add(const struct fx_lowering *l, int v)
{
    const struct fx_view *grad = &l->grads[v];

    return l->rules->conv_adds && grad->buffer >= 0 && grad->is_exact &&
           fx_lower_is_exclusive(l, grad) &&
           fx_view_groups(grad, l->rules->block) == l->uses[v].n_groups;
}

static enum fx_status input_gradient(struct fx_lowering *l, int node, int v,
                                     const struct fx_view *dy)
{
    struct fx_view dx;

    if (can_add(l, v))
        return fx_lower_conv_data(l, node, dy, &l->grads[v], true);
    FX_TRY(fx_lower_new_like(l, v, &dx));
    FX_TRY(fx_lower_conv_data(l, node, dy, &dx, false));
    fx_lower_share(l, &dx);
    return fx_lower_contribute(l, v, &dx);
}

/* The weights first: then the input, if it was computed again for them, makes room for its
 * gradient. */
enum fx_status fx_lower_conv_back(struct fx_lowering *l, int node)
{
    int v = fx_lower_input(l, &l->graph->nodes[node], 0), norm;
    struct fx_view x, dy;

    FX_TRY(readable(l, node, &l->grads[node], &dy));
    if (!fx_graph_is_fixed(l->graph, &l->graph->nodes[node])) {
        FX_TRY(input_of(l, node, &x, &norm));
        FX_TRY(fx_lower_conv_weights(l, node, norm, &x, &dy));
    }
    if (l->uses[v].wants_grad)
        FX_TRY(input_gradient(l, node, v, &dy));
    fx_lower_release(l, &l->grads[node]);
    return FX_OK;
}
