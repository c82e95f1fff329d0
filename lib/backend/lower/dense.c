/* Dense nodes: fusion module, classifiers, head.  Their values and gradients all stay in
 * memory, and an instruction reads and writes those of its inputs wherever they are. */
#include "backend/lower/lower_internal.h"

enum fx_status fx_lower_dense(struct fx_lowering *l, int node)
{
    if (l->rules->dense)
        l->rules->dense(l->rules->ctx, node, false);
    return fx_lower_emit(l, (struct fx_instr){ .op = FX_INSTR_DENSE, .node = node });
}

enum fx_status fx_lower_dense_back(struct fx_lowering *l, int node)
{
    struct fx_instr instr = { .op = FX_INSTR_DENSE_BACK, .node = node };
    const struct fx_node *n = &l->graph->nodes[node];

    if (l->rules->dense)
        l->rules->dense(l->rules->ctx, node, true);
    for (int j = 0; j < n->n_inputs; j++) {
        struct fx_use *x = &l->uses[n->inputs[j]];

        instr.adds[j] = x->has_dense_grad;
        x->has_dense_grad = true;
    }
    return fx_lower_emit(l, instr);
}
