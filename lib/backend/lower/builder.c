/* What every kind of node uses to write its instructions: buffers, values and gradients. */
#include "backend/lower/lower_internal.h"

#include <stdlib.h>

/* ---- buffers and instructions ---- */

enum fx_status fx_lower_new_map(struct fx_lowering *l, int c, int area, int w, struct fx_view *view)
{
    size_t pixel = (size_t)l->rules->block * l->rules->value_bytes;
    size_t image = (size_t)fx_blocks(c, l->rules->block) * (size_t)area * pixel;
    int now = l->list->n_instrs;

    *view = (struct fx_view){
        .is_map = true, .c = c, .area = area, .w = w, .image_bytes = image, .is_exact = true
    };
    return fx_plan_add(&l->lowered->plan, l->lane, (size_t)l->lowered->n * image, now,
                       &view->buffer, l->err);
}

enum fx_status fx_lower_new_like(struct fx_lowering *l, int v, struct fx_view *view)
{
    struct fx_value_shape s = l->graph->nodes[v].shape;
    int groups = l->uses[v].n_groups;

    FX_TRY(fx_lower_new_map(l, s.c, s.h * s.w, s.w, view));
    if (groups > 1) {
        view->image_bytes /= (size_t)groups;
        view->group_bytes = (size_t)l->lowered->n * view->image_bytes;
        view->group_blocks = fx_blocks(s.c, l->rules->block) / groups;
    }
    return FX_OK;
}

enum fx_status fx_lower_new_kept(struct fx_lowering *l, size_t n_bytes, int *buffer)
{
    FX_TRY(fx_plan_add(&l->lowered->plan, l->lane, n_bytes, 0, buffer, l->err));
    l->lowered->plan.buffers[*buffer].is_kept = true;
    return FX_OK;
}

void fx_lower_touch(struct fx_lowering *l, int buffer)
{
    fx_plan_touch(&l->lowered->plan, buffer, l->list->n_instrs);
}

void fx_lower_touch_mask(struct fx_lowering *l, int node)
{
    fx_lower_touch(l, l->lowered->nodes[node].mask.buffer);
}

enum fx_status fx_lower_emit(struct fx_lowering *l, struct fx_instr instr)
{
    struct fx_instr_list *list = l->list;

    if (list->n_instrs == list->cap_instrs) {
        int cap = list->cap_instrs ? 2 * list->cap_instrs : 128;
        struct fx_instr *instrs = realloc(list->instrs, (size_t)cap * sizeof *instrs);

        if (!instrs)
            return fx_fail(l->err, FX_EFAIL, "out of memory for the program's instructions");
        list->instrs = instrs;
        list->cap_instrs = cap;
    }
    for (int i = 0; i < FX_INSTR_MAX_OPERANDS; i++)
        if (instr.operands[i].image_bytes > 0)
            fx_lower_touch(l, instr.operands[i].buffer);
    list->instrs[list->n_instrs++] = instr;
    return FX_OK;
}

/* ---- instructions that several kinds of nodes write ---- */

enum fx_status fx_lower_copy_out(struct fx_lowering *l, int node, const struct fx_view *from,
                                 int first, const struct fx_view *to)
{
    return fx_lower_emit(
        l, (struct fx_instr){
               .op = FX_INSTR_COPY_OUT, .node = node, .operands = { *from, *to }, .first = first });
}

enum fx_status fx_lower_add_into(struct fx_lowering *l, int node, const struct fx_view *dst,
                                 const struct fx_view *src)
{
    return fx_lower_emit(l, (struct fx_instr){ .op = FX_INSTR_ADD_INTO,
                                               .node = node,
                                               .operands = { *src, *dst },
                                               .accumulate = true });
}

enum fx_status fx_lower_norm_apply(struct fx_lowering *l, int node, const struct fx_view *view)
{
    struct fx_instr instr = { .op = FX_INSTR_NORM_APPLY, .node = node };
    int x = fx_lower_input(l, &l->graph->nodes[node], 0);

    if (l->uses[node].fused_drop >= 0) {
        instr.draws = !l->rules->draws_apart && !l->is_backward;
        fx_lower_touch_mask(l, l->uses[node].fused_drop);
    }
    FX_TRY(fx_lower_value(l, x, &instr.operands[0]));
    instr.operands[1] = *view;
    return fx_lower_emit(l, instr);
}

/* ---- values ---- */

enum fx_status fx_lower_value(struct fx_lowering *l, int v, struct fx_view *view)
{
    if (l->is_backward && l->uses[v].is_deferred && l->values[v].buffer < 0) {
        const struct fx_node *node = &l->graph->nodes[v];
        int norm = node->kind == FX_NODE_DROPOUT ? node->inputs[0] : v;

        FX_TRY(fx_lower_new_like(l, v, &l->values[v]));
        FX_TRY(fx_lower_norm_apply(l, norm, &l->values[v]));
    }
    *view = l->values[v];
    return FX_OK;
}

enum fx_status fx_lower_exact(struct fx_lowering *l, const struct fx_view *view,
                              struct fx_view *exact)
{
    struct fx_view copy;

    if (view->is_exact && view->group_blocks == 0) {
        *exact = *view;
        return FX_OK;
    }
    FX_TRY(fx_lower_new_map(l, view->c, view->area, view->w, &copy));
    FX_TRY(fx_lower_copy_out(l, -1, view, 0, &copy));
    *exact = copy;
    return FX_OK;
}

/* The buffer of a chain of concatenations, made when its first input is written. */
static enum fx_status chain_view(struct fx_lowering *l, int chain, struct fx_view *view)
{
    struct fx_concat_chain *g = &l->chains[chain];

    if (g->view.buffer < 0) {
        struct fx_value_shape s = l->graph->nodes[g->tip].shape;

        FX_TRY(fx_lower_new_map(l, s.c, s.h * s.w, s.w, &g->view));
        g->view.is_exact = false;
    }
    *view = g->view;
    return FX_OK;
}

/* In place of `over` only if that is a whole buffer of the same shape which neither the rest of the
 * forward pass nor the backward pass nor the caller reads. */
enum fx_status fx_lower_result(struct fx_lowering *l, int node, int over, struct fx_view *view)
{
    struct fx_value_shape s = l->graph->nodes[node].shape;
    const struct fx_use *use = &l->uses[node];

    if (use->chain >= 0) {
        FX_TRY(chain_view(l, use->chain, view));
        view->c = s.c;
    } else if (over >= 0 && l->uses[over].n_left == 0 && !l->uses[over].is_needed &&
               !l->uses[over].is_kept && !use->is_kept && l->values[over].is_exact &&
               l->values[over].c == s.c && l->values[over].area == s.h * s.w &&
               l->uses[over].n_groups == use->n_groups) {
        *view = l->values[over];
    } else {
        FX_TRY(fx_lower_new_like(l, node, view));
    }
    if (use->is_kept)
        l->lowered->plan.buffers[view->buffer].is_kept = true;
    l->values[node] = *view;
    return FX_OK;
}

/* ---- gradients ---- */

bool fx_lower_is_exclusive(const struct fx_lowering *l, const struct fx_view *view)
{
    return l->lowered->plan.buffers[view->buffer].n_refs == 1;
}

void fx_lower_share(struct fx_lowering *l, const struct fx_view *view)
{
    l->lowered->plan.buffers[view->buffer].n_refs++;
}

void fx_lower_release(struct fx_lowering *l, const struct fx_view *view)
{
    l->lowered->plan.buffers[view->buffer].n_refs--;
}

/* Reference counting of buffers, as a sum of two gradients a + b wants it.  A buffer with one
 * reference may be overwritten: the sum goes into the gradient so far if only v refers to it, else
 * into the new one if only the caller refers to that (and it is no prefix of something wider), else
 * into a copy.  Without a gradient so far nothing is computed: v takes the caller's reference, and
 * two branches of a residual sum then share one buffer. */
enum fx_status fx_lower_contribute(struct fx_lowering *l, int v, const struct fx_view *view)
{
    struct fx_view *grad = &l->grads[v];
    struct fx_view sum;

    if (grad->buffer < 0) {
        *grad = *view;
        return FX_OK;
    }
    if (fx_lower_is_exclusive(l, grad)) {
        FX_TRY(fx_lower_add_into(l, v, grad, view));
        fx_lower_release(l, view);
        return FX_OK;
    }
    if (fx_lower_is_exclusive(l, view) && view->is_exact) {
        FX_TRY(fx_lower_add_into(l, v, view, grad));
        fx_lower_release(l, grad);
        *grad = *view;
        return FX_OK;
    }
    FX_TRY(fx_lower_new_like(l, v, &sum));
    FX_TRY(fx_lower_copy_out(l, v, grad, 0, &sum));
    FX_TRY(fx_lower_add_into(l, v, &sum, view));
    fx_lower_release(l, grad);
    fx_lower_release(l, view);
    fx_lower_share(l, &sum);
    *grad = sum;
    return FX_OK;
}
