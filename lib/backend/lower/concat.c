/* CONCAT.  A chain of concatenations is one buffer: its first input is written there by its maker,
 * or copied; every later one is copied behind it, at any channel, also in the middle of a block.
 * The gradient of the chain is a buffer of the same shape, out of which the inputs' gradients are
 * copied. */
#include "backend/lower/lower_internal.h"

/* Whether the node's first input is the beginning of the same buffer. */
static bool extends(const struct fx_lowering *l, int node)
{
    int first = fx_lower_input(l, &l->graph->nodes[node], 0);

    return l->uses[first].chain == l->uses[node].chain;
}

enum fx_status fx_lower_concat(struct fx_lowering *l, int node)
{
    const struct fx_node *n = &l->graph->nodes[node];
    struct fx_instr instr = { .op = FX_INSTR_COPY_IN, .node = node };

    FX_TRY(fx_lower_result(l, node, -1, &instr.operands[1]));
    for (int j = 0; j < n->n_inputs; j++) {
        int x = fx_lower_input(l, n, j);

        if (j > 0 || !extends(l, node)) {
            FX_TRY(fx_lower_value(l, x, &instr.operands[0]));
            FX_TRY(fx_lower_emit(l, instr));
        }
        instr.first += l->graph->nodes[x].shape.c;
    }
    return FX_OK;
}

/* dx = channels first .. of dy, a gradient of the chain; node: whose value begins where dy does. */
static enum fx_status input_gradient(struct fx_lowering *l, int node, const struct fx_view *dy,
                                     int first, const struct fx_view *dx)
{
    const struct fx_concat_chain *chain = &l->chains[l->uses[node].chain];
    struct fx_instr instr = { .op = FX_INSTR_NORM_SETTLE, .node = chain->tip, .first = first };

    if (!chain->gathers)
        return fx_lower_copy_out(l, node, dy, first, dx);
    FX_TRY(fx_lower_value(l, node, &instr.operands[0]));
    instr.operands[1] = *dy;
    instr.operands[2] = *dx;
    return fx_lower_emit(l, instr);
}

enum fx_status fx_lower_settle_prefix(struct fx_lowering *l, int node)
{
    const struct fx_use *use = &l->uses[node];

    if (use->chain < 0 || !l->chains[use->chain].gathers ||
        l->graph->nodes[node].kind == FX_NODE_CONCAT)
        return FX_OK;
    return input_gradient(l, node, &l->grads[node], 0, &l->grads[node]);
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
            FX_TRY(input_gradient(l, node, &dy, first, &dx));
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
