/* BATCHNORM: the statistics once a channel, however many norms read it; the result, with ReLU and
 * dropout, where it is wanted; the gradient in place of that of the result, or added to another's.
 *
 * Unless the back end keeps_norms, the result is recomputed in the backward pass instead of stored,
 * which costs one pass over the input and saves a map for every norm (Chen et al., "Training Deep
 * Nets with Sublinear Memory Cost", 2016; for shared inputs Pleiss et al., "Memory-Efficient
 * Implementation of DenseNets", 2017).  dx may lie where dy was: with sums over the batch taken
 * first,
 *
 *   dx = weight * invstd * (dy - sum(dy) / M - xhat * sum(dy * xhat) / M)
 *
 * needs nothing of dy but the element that it replaces (Ioffe and Szegedy, 2015, section 3). */
#include "backend/lower/lower_internal.h"

enum { STATS_FLOATS = 16 }; /* the arrays of statistics are whole AVX-512 registers */

/* The statistics belong to the map that the norm reads: a value, or a chain of concatenations. */
static enum fx_status stats_of(struct fx_lowering *l, int x, int *stats, int *first)
{
    int chain = l->uses[x].chain;
    int owner = chain < 0 ? x : l->chains[chain].tip;
    struct fx_stats *st = &l->lowered->nodes[owner].stats;

    if (st->stride == 0) {
        st->stride = fx_blocks(l->graph->nodes[owner].shape.c, STATS_FLOATS) * STATS_FLOATS;
        st->gathers = chain >= 0 && l->chains[chain].gathers;
        st->eps = st->gathers ? l->chains[chain].eps : 0;
        FX_TRY(fx_lower_new_kept(l, (st->gathers ? 5 : 3) * (size_t)st->stride * sizeof(float),
                                 &st->buffer));
    }
    *stats = owner;
    *first = st->n_known;
    if (l->graph->nodes[x].shape.c > st->n_known)
        st->n_known = l->graph->nodes[x].shape.c;
    return FX_OK;
}

/* Whether the last instruction copies just the channels whose statistics are wanted, in whole
 * blocks: then one does both. */
static bool takes_copy(const struct fx_lowering *l, const struct fx_instr *stats)
{
    const struct fx_instr_list *list = l->list;
    const struct fx_instr *copy;

    if (!l->rules->stats_copy || list->n_instrs == 0)
        return false;
    copy = &list->instrs[list->n_instrs - 1];
    return copy->op == FX_INSTR_COPY_IN && copy->operands[1].buffer == stats->operands[0].buffer &&
           copy->operands[0].group_blocks == 0 && copy->first == stats->first &&
           copy->first + copy->operands[0].c == stats->operands[0].c &&
           copy->first % l->rules->block == 0 && copy->operands[0].c % l->rules->block == 0;
}

static enum fx_status emit_stats(struct fx_lowering *l, int node, int x)
{
    struct fx_instr instr = { .op = FX_INSTR_NORM_STATS, .node = node };

    FX_TRY(stats_of(l, x, &l->lowered->nodes[node].norm_stats, &instr.first));
    FX_TRY(fx_lower_value(l, x, &instr.operands[0]));
    if (takes_copy(l, &instr))
        instr.operands[1] = l->list->instrs[--l->list->n_instrs].operands[0];
    return fx_lower_emit(l, instr);
}

enum fx_status fx_lower_norm(struct fx_lowering *l, int node)
{
    struct fx_node_state *state = &l->lowered->nodes[node];
    int x = fx_lower_input(l, &l->graph->nodes[node], 0);
    struct fx_view y;

    state->norm_drop = l->uses[node].fused_drop;
    if (l->lowered->mode == FX_TRAIN && !fx_graph_is_fixed(l->graph, &l->graph->nodes[node]))
        FX_TRY(emit_stats(l, node, x));
    if (l->uses[node].fused_drop >= 0 || l->uses[node].is_summed || l->uses[node].is_absorbed)
        return FX_OK; /* applied there */
    FX_TRY(fx_lower_result(l, node, x, &y));
    return fx_lower_norm_apply(l, node, &y);
}

/* Whether the last instruction is the ReLU of a sum whose gradient this norm reads, in place: then
 * the norm applies it as it reads. */
static bool takes_relu(const struct fx_lowering *l, int node)
{
    const struct fx_instr_list *list = l->list;
    const struct fx_node *norm = &l->graph->nodes[node];
    const struct fx_instr *relu;

    if (!l->rules->norms_relu || list->n_instrs == 0)
        return false;
    relu = &list->instrs[list->n_instrs - 1];
    return relu->op == FX_INSTR_RELU_BACK && relu->operands[1].buffer == l->grads[node].buffer &&
           relu->operands[2].buffer == l->grads[node].buffer && !norm->relu &&
           l->uses[node].fused_drop < 0 && !fx_graph_is_fixed(l->graph, norm);
}

/* Where dx goes, best first: added into the gradient that x has so far, if nobody else reads that
 * buffer; over dy, the gradient that this norm consumes, if nobody else reads that one and it has
 * the layout of x; else into a new buffer.  A value that wants no gradient gets those of weight and
 * bias only.  Norms of a gathering chain write the part that is linear in dy, and the chain settles
 * the rest once for all of them (concat.c). */
enum fx_status fx_lower_norm_back(struct fx_lowering *l, int node)
{
    int x = fx_lower_input(l, &l->graph->nodes[node], 0);
    struct fx_view *dy = &l->grads[node], *dx = &l->grads[x];
    struct fx_instr instr = { .op = FX_INSTR_NORM_BACK, .node = node };
    int chain = l->uses[x].chain;
    struct fx_view made;

    if (chain >= 0 && l->chains[chain].gathers && l->uses[x].wants_grad)
        instr.op = FX_INSTR_NORM_GATHER;
    if (l->uses[node].fused_drop >= 0)
        fx_lower_touch_mask(l, l->uses[node].fused_drop);
    FX_TRY(fx_lower_value(l, x, &instr.operands[0]));
    instr.operands[1] = *dy;
    if (instr.op == FX_INSTR_NORM_BACK && takes_relu(l, node))
        instr.operands[3] = l->list->instrs[--l->list->n_instrs].operands[0];
    if (!l->uses[x].wants_grad) {
        FX_TRY(fx_lower_emit(l, instr));
        fx_lower_release(l, dy);
        return FX_OK;
    }
    if (dx->buffer >= 0 && fx_lower_is_exclusive(l, dx)) {
        instr.operands[2] = *dx;
        instr.accumulate = true;
        FX_TRY(fx_lower_emit(l, instr));
        fx_lower_release(l, dy);
        return FX_OK;
    }
    if (dy->is_exact && fx_lower_is_exclusive(l, dy) &&
        dy->group_blocks == instr.operands[0].group_blocks) {
        made = *dy; /* over the gradient that it comes from */
    } else {
        FX_TRY(fx_lower_new_like(l, x, &made));
        fx_lower_share(l, &made);
        fx_lower_release(l, dy);
    }
    instr.operands[2] = made;
    FX_TRY(fx_lower_emit(l, instr));
    return fx_lower_contribute(l, x, &made);
}
