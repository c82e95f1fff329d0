/* The two walks over the graph, and what every kind of node uses on the way: buffers, steps, values
 * and gradients. */
#include "backend/lower/lower_private.h"

#include <assert.h>
#include <stdlib.h>

/* ---- buffers and steps ---- */

enum fx_status fx_lower_new_map(struct fx_lowering *l, int c, int area, int w, struct fx_view *view)
{
    size_t pixel = (size_t)l->rules->block * l->rules->value_bytes;
    size_t image = (size_t)fx_blocks(c, l->rules->block) * (size_t)area * pixel;
    int now = l->steps->n_steps;

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
    fx_plan_touch(&l->lowered->plan, buffer, l->steps->n_steps);
}

void fx_lower_touch_mask(struct fx_lowering *l, int node)
{
    if (l->rules->stores_masks)
        fx_lower_touch(l, l->lowered->nodes[node].mask.buffer);
}

enum fx_status fx_lower_emit(struct fx_lowering *l, struct fx_step step)
{
    struct fx_steps *s = l->steps;

    if (s->n_steps == s->cap_steps) {
        int cap = s->cap_steps ? 2 * s->cap_steps : 128;
        struct fx_step *steps = realloc(s->steps, (size_t)cap * sizeof *steps);

        if (!steps)
            return fx_fail(l->err, FX_EFAIL, "out of memory for the program's steps");
        s->steps = steps;
        s->cap_steps = cap;
    }
    for (int i = 0; i < FX_STEP_MAX_VIEWS; i++)
        if (step.views[i].image_bytes > 0)
            fx_lower_touch(l, step.views[i].buffer);
    s->steps[s->n_steps++] = step;
    return FX_OK;
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

/* The buffer of a chain of concatenations, made when its first part is written. */
static enum fx_status group_view(struct fx_lowering *l, int group, struct fx_view *view)
{
    struct fx_group *g = &l->groups[group];

    if (g->view.buffer < 0) {
        struct fx_value_shape s = l->graph->nodes[g->tip].shape;

        FX_TRY(fx_lower_new_map(l, s.c, s.h * s.w, s.w, &g->view));
        g->view.is_exact = false;
    }
    *view = g->view;
    return FX_OK;
}

enum fx_status fx_lower_place_value(struct fx_lowering *l, int node, int over, struct fx_view *view)
{
    struct fx_value_shape s = l->graph->nodes[node].shape;
    const struct fx_use *use = &l->uses[node];

    if (use->group >= 0) {
        FX_TRY(group_view(l, use->group, view));
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

/* ---- the walks ---- */

static enum fx_status lower_forward(struct fx_lowering *l, int i)
{
    const struct fx_node *node = &l->graph->nodes[i];

    for (int j = 0; j < node->n_inputs; j++)
        l->uses[fx_lower_input(l, node, j)].n_left--;
    if (l->lowered->mode == FX_EVAL && node->kind == FX_NODE_DROPOUT) {
        l->values[i] = l->values[fx_lower_input(l, node, 0)];
        return FX_OK;
    }
    if (!l->uses[i].is_map && node->kind != FX_NODE_GLOBALPOOL)
        return fx_lower_vector(l, i);
    switch (node->kind) {
    case FX_NODE_CONV2D:
        return fx_lower_conv(l, i);
    case FX_NODE_BATCHNORM:
        return fx_lower_norm(l, i);
    case FX_NODE_ADD:
        return fx_lower_add(l, i);
    case FX_NODE_CONCAT:
        return fx_lower_concat(l, i);
    case FX_NODE_AVGPOOL2:
        return fx_lower_avgpool(l, i);
    case FX_NODE_GLOBALPOOL:
        return fx_lower_globalpool(l, i);
    case FX_NODE_DROPOUT:
        return fx_lower_drop(l, i);
    default:
        return fx_fail(l->err, FX_EUSAGE, "node %d: not possible on a map", i);
    }
}

static enum fx_status lower_backward(struct fx_lowering *l, int i)
{
    const struct fx_node *node = &l->graph->nodes[i];

    if (!l->uses[i].wants_grad)
        return FX_OK;
    if (!l->uses[i].is_map && node->kind != FX_NODE_GLOBALPOOL)
        return fx_lower_vector_back(l, i);
    if (l->uses[i].is_pooled)
        return FX_OK; /* done by the pool */
    if (l->uses[i].is_map && l->grads[i].buffer < 0)
        return fx_fail(l->err, FX_EUSAGE, "node %d: nothing depends on its value", i);
    FX_TRY(fx_lower_settle_prefix(l, i));
    switch (node->kind) {
    case FX_NODE_CONV2D:
        return fx_lower_conv_back(l, i);
    case FX_NODE_BATCHNORM:
        return fx_lower_norm_back(l, i);
    case FX_NODE_ADD:
        return fx_lower_add_back(l, i);
    case FX_NODE_CONCAT:
        return fx_lower_concat_back(l, i);
    case FX_NODE_AVGPOOL2:
        return fx_lower_avgpool_back(l, i);
    case FX_NODE_GLOBALPOOL:
        return fx_lower_globalpool_back(l, i);
    case FX_NODE_DROPOUT:
        return fx_lower_drop_back(l, i);
    default:
        return FX_OK;
    }
}

/* Values of INPUT nodes, and the vectors, which all stay: written by `input` or by any lane. */
static enum fx_status make_kept(struct fx_lowering *l)
{
    const struct fx_graph *graph = l->graph;

    for (int i = 0; i < graph->n_nodes; i++) {
        struct fx_value_shape s = graph->nodes[i].shape;
        struct fx_node_state *state = &l->lowered->nodes[i];
        size_t n_bytes = (size_t)l->lowered->n * (size_t)fx_shape_elements(s) * sizeof(float);

        l->lane = fx_lower_lane(l, &graph->nodes[i]);
        l->steps = &l->lowered->lanes[l->lane];
        if (l->uses[i].is_map) {
            if (graph->nodes[i].kind == FX_NODE_INPUT)
                FX_TRY(fx_lower_place_value(l, i, -1, &state->value));
            continue;
        }
        state->is_vector = true;
        state->is_output = l->uses[i].n_users == 0;
        if (l->lowered->mode == FX_EVAL && graph->nodes[i].kind == FX_NODE_DROPOUT) {
            state->value = l->lowered->nodes[graph->nodes[i].inputs[0]].value;
            continue;
        }
        FX_TRY(fx_lower_new_kept(l, n_bytes, &state->value.buffer));
        if (l->lowered->mode == FX_TRAIN && l->uses[i].wants_grad)
            FX_TRY(fx_lower_new_kept(l, n_bytes, &state->gradient.buffer));
    }
    return FX_OK;
}

/* Maps that nothing reads: their gradients come from outside. */
static enum fx_status make_seeds(struct fx_lowering *l)
{
    for (int i = 0; i < l->graph->n_nodes; i++) {
        struct fx_view *grad = &l->grads[i];

        if (!l->uses[i].is_map || l->uses[i].n_users > 0 || !l->uses[i].wants_grad)
            continue;
        l->lane = fx_lower_lane(l, &l->graph->nodes[i]);
        l->steps = &l->lowered->lanes[l->lane];
        FX_TRY(fx_lower_new_like(l, i, grad));
        l->lowered->plan.buffers[grad->buffer].is_kept = true;
        l->lowered->plan.buffers[grad->buffer].n_refs = 2; /* never exclusive: not ours to change */
        l->lowered->nodes[i].gradient = *grad;
    }
    return FX_OK;
}

static bool in_lane(const struct fx_lowering *l, int node)
{
    return fx_lower_lane(l, &l->graph->nodes[node]) == l->lane;
}

static enum fx_status walk_forward(struct fx_lowering *l)
{
    for (l->lane = 0; l->lane <= l->lowered->n_lanes; l->lane++) {
        l->steps = &l->lowered->lanes[l->lane];
        for (int i = 0; i < l->graph->n_nodes; i++)
            if (in_lane(l, i) && l->graph->nodes[i].kind != FX_NODE_INPUT)
                FX_TRY(lower_forward(l, i));
        l->steps->n_forward = l->steps->n_steps;
    }
    for (int i = 0; i < l->graph->n_nodes; i++) {
        if (l->uses[i].is_map)
            l->lowered->nodes[i].value = l->values[i];
        if (l->uses[i].is_deferred)
            l->values[i].buffer = -1;
    }
    return FX_OK;
}

static enum fx_status walk_backward(struct fx_lowering *l)
{
    l->is_backward = true;
    FX_TRY(make_seeds(l));
    for (l->lane = l->lowered->n_lanes; l->lane >= 0; l->lane--) {
        l->steps = &l->lowered->lanes[l->lane];
        for (int i = 0; i < FX_LOWER_ASIDE; i++)
            l->aside[i] = -1;
        for (int i = l->graph->n_nodes - 1; i >= 0; i--)
            if (in_lane(l, i) && l->graph->nodes[i].kind != FX_NODE_INPUT)
                FX_TRY(lower_backward(l, i));
    }
    for (int i = 0; i < l->graph->n_nodes; i++) {
        struct fx_view *grad = &l->grads[i];

        if (l->graph->nodes[i].kind == FX_NODE_INPUT && l->uses[i].is_map && grad->buffer >= 0) {
            l->lowered->plan.buffers[grad->buffer].is_kept = true;
            l->lowered->nodes[i].gradient = *grad;
        }
    }
    return FX_OK;
}

/* A lane may read its own values and the images: lanes run at the same time. */
static enum fx_status check_lanes(const struct fx_lowering *l)
{
    int head = l->lowered->n_lanes;

    for (int i = 0; i < l->graph->n_nodes; i++) {
        const struct fx_node *node = &l->graph->nodes[i];
        int lane = fx_lower_lane(l, node);

        for (int j = 0; j < node->n_inputs && lane != head; j++) {
            const struct fx_node *x = &l->graph->nodes[node->inputs[j]];

            if (x->kind != FX_NODE_INPUT && fx_lower_lane(l, x) != lane)
                return fx_fail(l->err, FX_EUSAGE, "node %d: reads a value of another lane", i);
        }
    }
    return FX_OK;
}

static enum fx_status make_nodes(struct fx_lowered *lowered, struct fx_err *err)
{
    int n_nodes = lowered->graph->n_nodes;

    lowered->nodes = calloc((size_t)n_nodes + 1, sizeof *lowered->nodes);
    if (!lowered->nodes)
        return fx_fail(err, FX_EFAIL, "out of memory for the program");
    for (int i = 0; i < n_nodes; i++) {
        struct fx_node_state *state = &lowered->nodes[i];

        state->value.buffer = state->gradient.buffer = -1;
        state->norm_stats = state->norm_drop = -1;
    }
    return FX_OK;
}

enum fx_status fx_lower(struct fx_lowered *lowered, const struct fx_lower_rules *rules,
                        const struct fx_graph *graph, enum fx_mode mode, int n, struct fx_err *err)
{
    size_t n_nodes = (size_t)graph->n_nodes + 1;
    struct fx_lowering l = {
        .lowered = lowered,
        .rules = rules,
        .graph = graph,
        .uses = calloc(n_nodes, sizeof *l.uses),
        .groups = calloc(n_nodes, sizeof *l.groups),
        .values = calloc(n_nodes, sizeof *l.values),
        .grads = calloc(n_nodes, sizeof *l.grads),
        .err = err,
    };
    enum fx_status status = FX_OK;

    *lowered = (struct fx_lowered){
        .graph = graph, .mode = mode, .n = n, .n_lanes = fx_lower_count_lanes(graph)
    };
    assert(lowered->n_lanes <= FX_GRAPH_MAX_EXPERTS);
    if (!l.uses || !l.groups || !l.values || !l.grads) {
        status = fx_fail(err, FX_EFAIL, "out of memory for the program");
        goto out;
    }
    for (int i = 0; i < graph->n_nodes; i++)
        l.values[i].buffer = l.grads[i].buffer = -1;
    FX_TRY_OUT(make_nodes(lowered, err));
    FX_TRY_OUT(check_lanes(&l));
    FX_TRY_OUT(fx_lower_analyse(&l));
    FX_TRY_OUT(make_kept(&l));
    FX_TRY_OUT(walk_forward(&l));
    if (mode == FX_TRAIN)
        FX_TRY_OUT(walk_backward(&l));
out:
    free(l.uses);
    free(l.groups);
    free(l.values);
    free(l.grads);
    return status;
}
