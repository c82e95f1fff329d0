/* The nodes on vectors: fusion module, classifiers, head.  Their values and gradients all stay in
 * memory, and a step reads and writes those of its inputs wherever they are. */
#include "backend/lower/lower_private.h"

enum fx_status fx_lower_vector(struct fx_lowering *l, int node)
{
    if (l->rules->vector)
        l->rules->vector(l->rules->ctx, node, false);
    return fx_lower_emit(l, (struct fx_step){ .kind = FX_STEP_VECTOR, .node = node });
}

enum fx_status fx_lower_vector_back(struct fx_lowering *l, int node)
{
    struct fx_step step = { .kind = FX_STEP_VECTOR_BACK, .node = node };
    const struct fx_node *n = &l->graph->nodes[node];

    if (l->rules->vector)
        l->rules->vector(l->rules->ctx, node, true);
    for (int j = 0; j < n->n_inputs; j++) {
        struct fx_use *x = &l->uses[n->inputs[j]];

        step.adds[j] = x->has_vector_grad;
        x->has_vector_grad = true;
    }
    return fx_lower_emit(l, step);
}
