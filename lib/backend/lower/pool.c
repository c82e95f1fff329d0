/* AVGPOOL2, and GLOBALPOOL, where maps become dense rows.
 *
 * A 1x1 convolution and the mean of pixels commute, so a convolution that only an AVGPOOL2 reads
 * (DenseNet's transitions) runs behind the pool, on a quarter of the pixels. */
#include "backend/lower/lower_internal.h"

enum fx_status fx_lower_avgpool(struct fx_lowering *l, int node)
{
    struct fx_value_shape out = l->graph->nodes[node].shape;
    int x = fx_lower_input(l, &l->graph->nodes[node], 0), conv = x;
    struct fx_instr instr = { .op = FX_INSTR_AVGPOOL, .node = node };
    struct fx_view *pooled = &l->uses[conv].pooled, y;

    if (l->uses[conv].is_pooled)
        x = fx_lower_input(l, &l->graph->nodes[conv], 0);
    FX_TRY(fx_lower_value(l, x, &instr.operands[0]));
    FX_TRY(fx_lower_exact(l, &instr.operands[0], &instr.operands[0]));
    FX_TRY(fx_lower_result(l, node, -1, &y));
    instr.operands[1] = y;
    if (l->uses[conv].is_pooled) {
        FX_TRY(fx_lower_new_map(l, instr.operands[0].c, out.h * out.w, out.w, pooled));
        instr.operands[1] = *pooled;
    }
    FX_TRY(fx_lower_emit(l, instr));
    return l->uses[conv].is_pooled ? fx_lower_conv_between(l, conv, 0, pooled, &y) : FX_OK;
}

/* From the gradient of the pooled map to that of x. */
static enum fx_status spread(struct fx_lowering *l, int node, int x, const struct fx_view *dy)
{
    struct fx_instr instr = { .op = FX_INSTR_AVGPOOL_BACK, .node = node, .operands = { *dy } };

    FX_TRY(fx_lower_new_like(l, x, &instr.operands[1]));
    FX_TRY(fx_lower_emit(l, instr));
    fx_lower_share(l, &instr.operands[1]);
    return fx_lower_contribute(l, x, &instr.operands[1]);
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
        if (!fx_graph_is_fixed(l->graph, &l->graph->nodes[conv]))
            FX_TRY(fx_lower_conv_weights(l, conv, 0, pooled, &dy));
        if (l->uses[x].wants_grad) {
            FX_TRY(fx_lower_new_map(l, pooled->c, pooled->area, pooled->w, &dx));
            FX_TRY(fx_lower_conv_data(l, conv, &dy, &dx, false));
        }
    }
    fx_lower_release(l, &l->grads[node]);
    return l->uses[x].wants_grad ? spread(l, node, x, &dx) : FX_OK;
}

enum fx_status fx_lower_globalpool(struct fx_lowering *l, int node)
{
    struct fx_instr instr = { .op = FX_INSTR_GLOBALPOOL, .node = node };

    FX_TRY(fx_lower_value(l, fx_lower_input(l, &l->graph->nodes[node], 0), &instr.operands[0]));
    return fx_lower_emit(l, instr);
}

enum fx_status fx_lower_globalpool_back(struct fx_lowering *l, int node)
{
    int x = fx_lower_input(l, &l->graph->nodes[node], 0);
    struct fx_instr instr = { .op = FX_INSTR_GLOBALPOOL_BACK, .node = node };

    FX_TRY(fx_lower_new_like(l, x, &instr.operands[0]));
    FX_TRY(fx_lower_emit(l, instr));
    fx_lower_share(l, &instr.operands[0]);
    return fx_lower_contribute(l, x, &instr.operands[0]);
}
