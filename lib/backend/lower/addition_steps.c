/* ADD with its ReLU, and the sum of two gradients. */
#include "backend/lower/lower_private.h"

enum fx_status fx_lower_add_into(struct fx_lowering *l, int node, const struct fx_view *dst,
                                 const struct fx_view *src)
{
    return fx_lower_emit(l, (struct fx_step){ .kind = FX_STEP_ADD_INTO,
                                              .node = node,
                                              .views = { *src, *dst },
                                              .accumulate = true });
}

/* A sum whose input `norm` was not written yet: the step that writes it adds the other input. */
static enum fx_status norm_and_add(struct fx_lowering *l, int node, int norm)
{
    const struct fx_node *n = &l->graph->nodes[node];
    int a = fx_lower_input(l, n, 0), other = a == norm ? fx_lower_input(l, n, 1) : a;
    int x = fx_lower_input(l, &l->graph->nodes[norm], 0);
    struct fx_step step = { .kind = FX_STEP_NORM_APPLY, .node = norm, .sum_relu = n->relu };

    FX_TRY(fx_lower_value(l, x, &step.views[0]));
    FX_TRY(fx_lower_value(l, other, &step.views[2]));
    FX_TRY(fx_lower_place_value(l, node, other, &step.views[1]));
    return fx_lower_emit(l, step);
}

enum fx_status fx_lower_add(struct fx_lowering *l, int node)
{
    const struct fx_node *n = &l->graph->nodes[node];
    int a = fx_lower_input(l, n, 0), b = fx_lower_input(l, n, 1), over = a;
    struct fx_step step = { .kind = FX_STEP_ADD, .node = node };

    if (l->uses[node].fused_norm >= 0)
        return norm_and_add(l, node, l->uses[node].fused_norm);
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
        struct fx_step step = { .kind = FX_STEP_RELU_BACK, .node = node };

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
