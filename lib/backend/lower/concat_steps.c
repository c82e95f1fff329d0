/* CONCAT.  A chain of concatenations is one buffer: its first part is written there by its maker,
 * or copied; every later part is copied behind it, at any channel, also in the middle of a block.
 * The gradient of the chain is a buffer of the same shape, whose parts are copied out. */
#include "backend/lower/lower_private.h"

enum fx_status fx_lower_copy_out(struct fx_lowering *l, int node, const struct fx_view *from,
                                 int first, const struct fx_view *to)
{
    return fx_lower_emit(
        l, (struct fx_step){
               .kind = FX_STEP_COPY_OUT, .node = node, .views = { *from, *to }, .first = first });
}

/* Whether the node's first input is the beginning of the same buffer. */
static bool extends(const struct fx_lowering *l, int node)
{
    int first = fx_lower_input(l, &l->graph->nodes[node], 0);

    return l->uses[first].group == l->uses[node].group;
}

enum fx_status fx_lower_concat(struct fx_lowering *l, int node)
{
    const struct fx_node *n = &l->graph->nodes[node];
    struct fx_step step = { .kind = FX_STEP_COPY_IN, .node = node };

    FX_TRY(fx_lower_place_value(l, node, -1, &step.views[1]));
    for (int j = 0; j < n->n_inputs; j++) {
        int x = fx_lower_input(l, n, j);

        if (j > 0 || !extends(l, node)) {
            FX_TRY(fx_lower_value(l, x, &step.views[0]));
            FX_TRY(fx_lower_emit(l, step));
        }
        step.first += l->graph->nodes[x].shape.c;
    }
    return FX_OK;
}

/* dx = channels first .. of dy, a gradient of the chain; node: whose value begins where dy does. */
static enum fx_status part_gradient(struct fx_lowering *l, int node, const struct fx_view *dy,
                                    int first, const struct fx_view *dx)
{
    const struct fx_group *group = &l->groups[l->uses[node].group];
    struct fx_step step = { .kind = FX_STEP_NORM_SETTLE, .node = group->tip, .first = first };

    if (!group->gathers)
        return fx_lower_copy_out(l, node, dy, first, dx);
    FX_TRY(fx_lower_value(l, node, &step.views[0]));
    step.views[1] = *dy;
    step.views[2] = *dx;
    return fx_lower_emit(l, step);
}

enum fx_status fx_lower_settle_prefix(struct fx_lowering *l, int node)
{
    const struct fx_use *use = &l->uses[node];

    if (use->group < 0 || !l->groups[use->group].gathers ||
        l->graph->nodes[node].kind == FX_NODE_CONCAT)
        return FX_OK;
    return part_gradient(l, node, &l->grads[node], 0, &l->grads[node]);
}

enum fx_status fx_lower_concat_back(struct fx_lowering *l, int node)
{
    const struct fx_node *n = &l->graph->nodes[node];
    struct fx_view dy = l->grads[node], dx;
    int first = 0;

    for (int j = 0; j < n->n_inputs; j++) {
        int x = fx_lower_input(l, n, j);
        int c = l->graph->nodes[x].shape.c;

        if (l->uses[x].wants_grad && (j > 0 || !extends(l, node))) {
            FX_TRY(fx_lower_new_like(l, x, &dx));
            FX_TRY(part_gradient(l, node, &dy, first, &dx));
            fx_lower_share(l, &dx);
            FX_TRY(fx_lower_contribute(l, x, &dx));
        }
        first += c;
    }
    if (l->uses[fx_lower_input(l, n, 0)].wants_grad && extends(l, node)) {
        dy.c = l->graph->nodes[fx_lower_input(l, n, 0)].shape.c;
        dy.is_exact = false;
        return fx_lower_contribute(l, fx_lower_input(l, n, 0), &dy); /* hands its reference on */
    }
    fx_lower_release(l, &dy);
    return FX_OK;
}
