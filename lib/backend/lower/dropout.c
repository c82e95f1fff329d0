/* DROPOUT of maps: with the norm in front of it, or by itself.  Its mask is drawn once, in the
 * forward pass. */
#include "backend/lower/lower_internal.h"

/* Makes room for the mask of `node`, and the instruction that draws it if that is one. */
static enum fx_status make_mask(struct fx_lowering *l, int node)
{
    const struct fx_node *n = &l->graph->nodes[node];
    struct fx_mask *mask = &l->lowered->nodes[node].mask;
    struct fx_instr instr = { .op = FX_INSTR_MASK, .node = node };
    int n_blocks = fx_blocks(n->shape.c, l->rules->block);

    mask->factor = 1.0f / (1.0f - n->p);
    mask->n_words = (size_t)l->lowered->n * (size_t)n_blocks * (size_t)(n->shape.h * n->shape.w);
    FX_TRY(fx_plan_add(&l->lowered->plan, l->lane, mask->n_words * l->rules->mask_bytes,
                       l->list->n_instrs, &mask->buffer, l->err));
    return l->rules->draws_apart ? fx_lower_emit(l, instr) : FX_OK;
}

enum fx_status fx_lower_drop(struct fx_lowering *l, int node)
{
    int x = fx_lower_input(l, &l->graph->nodes[node], 0);
    struct fx_instr instr = {
        .op = FX_INSTR_DROP,
        .node = node,
        .draws = !l->rules->draws_apart,
    };
    struct fx_view y;

    FX_TRY(make_mask(l, node));
    if (l->uses[x].fused_drop == node) {
        FX_TRY(fx_lower_result(l, node, -1, &y));
        return fx_lower_norm_apply(l, x, &y);
    }
    FX_TRY(fx_lower_value(l, x, &instr.operands[0]));
    if (!instr.operands[0].is_exact)
        FX_TRY(fx_lower_exact(l, &instr.operands[0], &instr.operands[0]));
    FX_TRY(fx_lower_result(l, node, x, &instr.operands[1]));
    fx_lower_touch_mask(l, node);
    return fx_lower_emit(l, instr);
}

enum fx_status fx_lower_drop_back(struct fx_lowering *l, int node)
{
    int x = fx_lower_input(l, &l->graph->nodes[node], 0);
    struct fx_instr instr = { .op = FX_INSTR_DROP, .node = node };
    struct fx_view dy = l->grads[node], dx = dy;

    if (l->uses[x].fused_drop == node)
        return fx_lower_contribute(l, x, &dy); /* the norm applies the mask */
    instr.operands[0] = dy;
    if (!dy.is_exact)
        FX_TRY(fx_lower_exact(l, &dy, &instr.operands[0]));
    if (!dy.is_exact || !fx_lower_is_exclusive(l, &dy)) {
        FX_TRY(fx_lower_new_like(l, x, &dx));
        fx_lower_share(l, &dx);
        fx_lower_release(l, &dy);
    }
    instr.operands[1] = dx;
    fx_lower_touch_mask(l, node);
    FX_TRY(fx_lower_emit(l, instr));
    return fx_lower_contribute(l, x, &dx);
}
