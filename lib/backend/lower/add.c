/* ADD with its ReLU; its gradient is shared by both inputs. */
#include "backend/lower/lower_internal.h"

/* A sum whose input `norm` was not written yet: the instruction that writes it adds the other
 * input. */
static enum fx_status norm_and_add(struct fx_lowering *l, int node, int norm)
{
    const struct fx_node *n = &l->graph->nodes[node];
    int a = fx_lower_input(l, n, 0), other = a == norm ? fx_lower_input(l, n, 1) : a;
    int x = fx_lower_input(l, &l->graph->nodes[norm], 0);
    struct fx_instr instr = { .op = FX_INSTR_NORM_APPLY, .node = norm, .sum_relu = n->relu };

    FX_TRY(fx_lower_value(l, x, &instr.operands[0]));
    FX_TRY(fx_lower_value(l, other, &instr.operands[2]));
    FX_TRY(fx_lower_result(l, node, other, &instr.operands[1]));
    return fx_lower_emit(l, instr);
}

enum fx_status fx_lower_add(struct fx_lowering *l, int node)
{
    const struct fx_node *n = &l->graph->nodes[node];
    int a = fx_lower_input(l, n, 0), b = fx_lower_input(l, n, 1), over = a;
    struct fx_instr instr = { .op = FX_INSTR_ADD, .node = node };

    if (l->uses[node].fused_norm >= 0)
        return norm_and_add(l, node, l->uses[node].fused_norm);
    for (int j = 0; j < 2; j++) {
        FX_TRY(fx_lower_value(l, j ? b : a, &instr.operands[j]));
        FX_TRY(fx_lower_exact(l, &instr.operands[j], &instr.operands[j]));
    }
    /* Over the branch that ends here: the other one is usually read again. */
    if (l->uses[a].n_left > 0 || l->uses[a].is_needed || l->uses[a].is_kept)
        over = b;
    FX_TRY(fx_lower_result(l, node, over, &instr.operands[2]));
    return fx_lower_emit(l, instr);
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
        struct fx_instr instr = { .op = FX_INSTR_RELU_BACK, .node = node };

        FX_TRY(fx_lower_value(l, node, &instr.operands[0]));
        instr.operands[1] = dz;
        if (!fx_lower_is_exclusive(l, &dz)) {
            fx_lower_release(l, &dz);
            FX_TRY(fx_lower_new_like(l, node, &dz));
            fx_lower_share(l, &dz);
        }
        instr.operands[2] = dz;
        FX_TRY(fx_lower_emit(l, instr));
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
