/* The driver of the lowering: forward over the nodes of each lane, then back, each node by the two
 * functions of its kind.
 *
 * This is reverse-mode differentiation at compile time (Griewank and Walther, "Evaluating
 * Derivatives", 2008): nodes are in topological order, so when a node is visited on the way back,
 * all its users have written their contributions and its gradient is complete.  A visit takes that
 * gradient, l->grads[i], and hands on one to each input with fx_lower_contribute: the first
 * contribution becomes the input's gradient as it is, without a copy, later ones are added.  That
 * is safe because buffers are reference-counted while instructions are written: one that somebody
 * else still reads is never written over.  As each buffer has a life span by then, the memory plan
 * can reuse it from its last reader on. */
#include "backend/lower/lower_internal.h"

#include <assert.h>
#include <stdlib.h>

/* ---- one node ---- */

/* Kinds of nodes on maps. */
static const struct {
    fx_lower_fn *forward, *backward;
} spatial[] = {
    [FX_NODE_CONV2D] = { fx_lower_conv, fx_lower_conv_back },
    [FX_NODE_BATCHNORM] = { fx_lower_norm, fx_lower_norm_back },
    [FX_NODE_ADD] = { fx_lower_add, fx_lower_add_back },
    [FX_NODE_CONCAT] = { fx_lower_concat, fx_lower_concat_back },
    [FX_NODE_AVGPOOL2] = { fx_lower_avgpool, fx_lower_avgpool_back },
    [FX_NODE_GLOBALPOOL] = { fx_lower_globalpool, fx_lower_globalpool_back },
    [FX_NODE_DROPOUT] = { fx_lower_drop, fx_lower_drop_back },
};
static const int n_spatial = (int)(sizeof spatial / sizeof *spatial);

static bool is_dense(const struct fx_lowering *l, int i)
{
    return !l->uses[i].is_map && l->graph->nodes[i].kind != FX_NODE_GLOBALPOOL;
}

static enum fx_status lower_forward(struct fx_lowering *l, int i)
{
    const struct fx_node *node = &l->graph->nodes[i];

    for (int j = 0; j < node->n_inputs; j++)
        l->uses[fx_lower_input(l, node, j)].n_left--;
    if (l->lowered->mode == FX_EVAL && node->kind == FX_NODE_DROPOUT) {
        l->values[i] = l->values[fx_lower_input(l, node, 0)];
        return FX_OK;
    }
    if (is_dense(l, i))
        return fx_lower_dense(l, i);
    if ((int)node->kind >= n_spatial || !spatial[node->kind].forward)
        return fx_fail(l->err, FX_EUSAGE, "node %d: not possible on a map", i);
    return spatial[node->kind].forward(l, i);
}

static enum fx_status lower_backward(struct fx_lowering *l, int i)
{
    if (!l->uses[i].wants_grad)
        return FX_OK;
    if (is_dense(l, i))
        return fx_lower_dense_back(l, i);
    if (l->uses[i].is_pooled)
        return FX_OK; /* done by the pool */
    if (l->uses[i].is_map && l->grads[i].buffer < 0)
        return fx_fail(l->err, FX_EUSAGE, "node %d: nothing depends on its value", i);
    FX_TRY(fx_lower_settle_prefix(l, i));
    return spatial[l->graph->nodes[i].kind].backward(l, i);
}

/* ---- the two passes ---- */

/* Values of INPUT nodes, and the dense ones, which all stay: written by `input` or by any lane. */
static enum fx_status make_kept(struct fx_lowering *l)
{
    const struct fx_graph *graph = l->graph;

    for (int i = 0; i < graph->n_nodes; i++) {
        struct fx_value_shape s = graph->nodes[i].shape;
        struct fx_node_state *state = &l->lowered->nodes[i];
        size_t n_bytes = (size_t)l->lowered->n * (size_t)fx_shape_elements(s) * sizeof(float);

        l->lane = fx_lower_lane(l, &graph->nodes[i]);
        l->list = &l->lowered->lanes[l->lane];
        if (l->uses[i].is_map) {
            if (graph->nodes[i].kind == FX_NODE_INPUT)
                FX_TRY(fx_lower_result(l, i, -1, &state->value));
            continue;
        }
        state->is_dense = true;
        state->is_output = l->uses[i].n_users == 0 || fx_graph_is_head(graph, i);
        l->uses[i].has_dense_grad = state->is_output;
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
        l->list = &l->lowered->lanes[l->lane];
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

static enum fx_status forward_pass(struct fx_lowering *l)
{
    for (l->lane = 0; l->lane <= l->lowered->n_lanes; l->lane++) {
        l->list = &l->lowered->lanes[l->lane];
        for (int i = 0; i < l->graph->n_nodes; i++)
            if (in_lane(l, i) && l->graph->nodes[i].kind != FX_NODE_INPUT)
                FX_TRY(lower_forward(l, i));
        l->list->n_forward = l->list->n_instrs;
    }
    for (int i = 0; i < l->graph->n_nodes; i++) {
        if (l->uses[i].is_map)
            l->lowered->nodes[i].value = l->values[i];
        if (l->uses[i].is_deferred)
            l->values[i].buffer = -1;
    }
    return FX_OK;
}

static enum fx_status backward_pass(struct fx_lowering *l)
{
    l->is_backward = true;
    FX_TRY(make_seeds(l));
    for (l->lane = l->lowered->n_lanes; l->lane >= 0; l->lane--) {
        l->list = &l->lowered->lanes[l->lane];
        for (int i = 0; i < FX_LOWER_WGRAD_DELAY; i++)
            l->wgrads[i] = -1;
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
        .chains = calloc(n_nodes, sizeof *l.chains),
        .values = calloc(n_nodes, sizeof *l.values),
        .grads = calloc(n_nodes, sizeof *l.grads),
        .err = err,
    };
    enum fx_status status = FX_OK;

    *lowered = (struct fx_lowered){
        .graph = graph, .mode = mode, .n = n, .n_lanes = fx_lower_count_lanes(graph)
    };
    assert(lowered->n_lanes <= FX_GRAPH_MAX_EXPERTS);
    if (!l.uses || !l.chains || !l.values || !l.grads) {
        status = fx_fail(err, FX_EFAIL, "out of memory for the program");
        goto out;
    }
    for (int i = 0; i < graph->n_nodes; i++)
        l.values[i].buffer = l.grads[i].buffer = -1;
    FX_TRY_OUT(make_nodes(lowered, err));
    FX_TRY_OUT(check_lanes(&l));
    FX_TRY_OUT(fx_lower_analyse(&l));
    FX_TRY_OUT(make_kept(&l));
    FX_TRY_OUT(forward_pass(&l));
    if (mode == FX_TRAIN)
        FX_TRY_OUT(backward_pass(&l));
out:
    free(l.uses);
    free(l.chains);
    free(l.values);
    free(l.grads);
    return status;
}
