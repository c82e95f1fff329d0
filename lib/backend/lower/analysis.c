/* What must be known of each node before the first instruction is written: who reads it, whether it
 * is stored, computed again or part of a concatenation, and whether anything wants its gradient. */
#include "backend/lower/lower_internal.h"

#include <stdlib.h>

int fx_lower_count_lanes(const struct fx_graph *graph)
{
    int n = 1;

    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i].lane >= n)
            n = graph->nodes[i].lane + 1;
    return n;
}

int fx_lower_lane(const struct fx_lowering *l, const struct fx_node *node)
{
    return node->lane == FX_LANE_FUSION ? l->lowered->n_lanes : node->lane;
}

int fx_lower_input(const struct fx_lowering *l, const struct fx_node *node, int i)
{
    int v = node->inputs[i];

    while (l->lowered->mode == FX_EVAL && l->graph->nodes[v].kind == FX_NODE_DROPOUT)
        v = l->graph->nodes[v].inputs[0];
    return v;
}

/* A map or dense rows: by its maker, or by its input. */
static bool is_map(const struct fx_lowering *l, const struct fx_node *node)
{
    switch (node->kind) {
    case FX_NODE_CONV2D:
    case FX_NODE_BATCHNORM:
    case FX_NODE_AVGPOOL2:
        return true;
    case FX_NODE_ADD:
    case FX_NODE_CONCAT:
    case FX_NODE_DROPOUT:
        return l->uses[node->inputs[0]].is_map;
    case FX_NODE_INPUT:
        return node->shape.h * node->shape.w > 1;
    default:
        return false;
    }
}

/* An INPUT of 1 x 1 pixels is a map if a map's node reads it. */
static bool reads_maps(enum fx_node_kind kind)
{
    return kind == FX_NODE_CONV2D || kind == FX_NODE_BATCHNORM || kind == FX_NODE_AVGPOOL2 ||
           kind == FX_NODE_GLOBALPOOL;
}

static enum fx_status find_maps(struct fx_lowering *l)
{
    const struct fx_graph *graph = l->graph;

    for (int i = 0; i < graph->n_nodes; i++)
        l->uses[i].is_map = is_map(l, &graph->nodes[i]);
    for (int i = 0; i < graph->n_nodes; i++)
        for (int j = 0; j < graph->nodes[i].n_inputs; j++)
            if (reads_maps(graph->nodes[i].kind) &&
                graph->nodes[graph->nodes[i].inputs[j]].kind == FX_NODE_INPUT)
                l->uses[graph->nodes[i].inputs[j]].is_map = true;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct fx_node *node = &graph->nodes[i];

        for (int j = 0; j < node->n_inputs; j++) {
            bool wants_map = reads_maps(node->kind) || l->uses[i].is_map;

            if (l->uses[node->inputs[j]].is_map != wants_map)
                return fx_fail(l->err, FX_EUSAGE, "node %d: mixes maps and dense rows", i);
        }
    }
    return FX_OK;
}

/* Users, and the values that the caller may read: inputs, features, logits and loose ends.  In
 * evaluation a DROPOUT's users are its input's. */
static void find_users(struct fx_lowering *l)
{
    const struct fx_graph *graph = l->graph;

    for (int i = 0; i < graph->n_nodes; i++) {
        const struct fx_node *node = &graph->nodes[i];

        for (int j = 0; j < node->n_inputs; j++) {
            l->uses[node->inputs[j]].n_left++;
            l->uses[fx_lower_input(l, node, j)].n_users++;
        }
    }
    for (int i = 0; i < graph->n_nodes; i++) {
        bool is_loose = l->uses[i].n_left == 0;

        if (is_loose && graph->nodes[i].kind == FX_NODE_DROPOUT && l->lowered->mode == FX_EVAL)
            l->uses[fx_lower_input(l, &graph->nodes[i], 0)].is_kept = true;
        l->uses[i].is_kept |= is_loose || graph->nodes[i].kind == FX_NODE_INPUT;
        l->uses[i].n_left = l->uses[i].n_users;
    }
}

static void find_wanted_gradients(struct fx_lowering *l)
{
    const struct fx_graph *graph = l->graph;

    for (int i = 0; i < graph->n_nodes; i++) {
        const struct fx_node *node = &graph->nodes[i];
        bool wants = node->n_params > 0 && !fx_graph_is_fixed(graph, node);

        if (node->kind == FX_NODE_INPUT)
            wants = graph->input_gradients;
        for (int j = 0; j < node->n_inputs; j++)
            wants = wants || l->uses[node->inputs[j]].wants_grad;
        l->uses[i].wants_grad = wants;
    }
}

/* A DROPOUT whose input is a norm that nothing else reads is applied with the norm. */
static void fuse_dropouts(struct fx_lowering *l)
{
    for (int i = 0; i < l->graph->n_nodes; i++) {
        const struct fx_node *node = &l->graph->nodes[i];

        l->uses[i].fused_drop = -1;
        if (node->kind == FX_NODE_DROPOUT && l->uses[i].is_map && l->lowered->mode == FX_TRAIN) {
            int x = node->inputs[0];

            if (l->graph->nodes[x].kind == FX_NODE_BATCHNORM && l->uses[x].n_users == 1)
                l->uses[x].fused_drop = i;
        }
    }
}

/* Whether a norm's result is read by a sum and by nothing else, ever. */
static bool is_summand(const struct fx_lowering *l, int v)
{
    const struct fx_use *use = &l->uses[v];

    return l->graph->nodes[v].kind == FX_NODE_BATCHNORM && !l->graph->nodes[v].relu &&
           use->n_users == 1 && !use->is_kept && use->fused_drop < 0;
}

/* An ADD of maps is done by the instruction of a norm that makes one of its inputs. */
static void fuse_sums(struct fx_lowering *l)
{
    for (int i = 0; i < l->graph->n_nodes; i++) {
        const struct fx_node *node = &l->graph->nodes[i];

        l->uses[i].fused_norm = -1;
        for (int j = 0; j < node->n_inputs && l->rules->norms_add; j++) {
            int x = fx_lower_input(l, node, j);

            if (node->kind == FX_NODE_ADD && l->uses[i].is_map && l->uses[i].fused_norm < 0 &&
                is_summand(l, x)) {
                l->uses[i].fused_norm = x;
                l->uses[x].is_summed = true;
            }
        }
    }
}

/* A 1x1 convolution that only an AVGPOOL2 reads is done behind it (pool.c). */
static void find_pooled(struct fx_lowering *l)
{
    for (int i = 0; i < l->graph->n_nodes; i++) {
        const struct fx_node *node = &l->graph->nodes[i];

        if (node->kind == FX_NODE_AVGPOOL2) {
            int x = fx_lower_input(l, node, 0);
            const struct fx_node *conv = &l->graph->nodes[x];

            l->uses[x].is_pooled = conv->kind == FX_NODE_CONV2D && conv->kernel == 1 &&
                                   conv->stride == 1 && l->uses[x].n_users == 1;
        }
    }
}

/* The only node that reads v, or -1. */
static int only_user(const struct fx_lowering *l, int v)
{
    int user = -1;

    for (int i = v + 1; i < l->graph->n_nodes && l->uses[v].n_users == 1; i++)
        for (int j = 0; j < l->graph->nodes[i].n_inputs; j++)
            if (fx_lower_input(l, &l->graph->nodes[i], j) == v &&
                !(l->lowered->mode == FX_EVAL && l->graph->nodes[i].kind == FX_NODE_DROPOUT))
                user = i;
    return user;
}

static int groups_of(const struct fx_lowering *l, const struct fx_node *conv)
{
    int c_in = l->graph->nodes[fx_lower_input(l, conv, 0)].shape.c;

    if (!l->rules->group_major_of)
        return 1;
    return l->rules->group_major_of(l->rules->ctx, conv, c_in, l->lowered->n);
}

/* Maps around a grouped convolution are group-major where only norms and dropouts touch them
 * besides. */
static void find_group_major(struct fx_lowering *l)
{
    for (int i = 0; i < l->graph->n_nodes; i++)
        l->uses[i].n_groups = 1;
    for (int i = 0; i < l->graph->n_nodes; i++) {
        const struct fx_node *node = &l->graph->nodes[i];
        int x, next, last = i;

        if (node->kind != FX_NODE_CONV2D || groups_of(l, node) == 1)
            continue;
        x = fx_lower_input(l, node, 0);
        next = only_user(l, i);
        if (next >= 0 && l->graph->nodes[next].kind == FX_NODE_DROPOUT) {
            last = next;
            next = only_user(l, next);
        }
        if (next < 0 || l->graph->nodes[next].kind != FX_NODE_BATCHNORM || only_user(l, x) != i ||
            (l->graph->nodes[x].kind != FX_NODE_BATCHNORM &&
             l->graph->nodes[x].kind != FX_NODE_DROPOUT))
            continue;
        l->uses[x].n_groups = l->uses[i].n_groups = l->uses[last].n_groups = groups_of(l, node);
    }
}

/* Can be written straight into the beginning of a wider buffer. */
static bool can_be_prefix(const struct fx_lowering *l, int v)
{
    enum fx_node_kind kind = l->graph->nodes[v].kind;

    if (kind == FX_NODE_AVGPOOL2 && l->uses[fx_lower_input(l, &l->graph->nodes[v], 0)].is_pooled)
        return false;
    return l->uses[v].chain < 0 && !l->uses[v].is_kept && l->uses[v].fused_drop < 0 &&
           (kind == FX_NODE_BATCHNORM || kind == FX_NODE_AVGPOOL2);
}

/* Joins each CONCAT of maps to the chain that its first input ends, or starts a new one. */
static void find_chains(struct fx_lowering *l)
{
    for (int i = 0; i < l->graph->n_nodes; i++)
        l->uses[i].chain = -1;
    for (int i = 0; i < l->graph->n_nodes; i++) {
        const struct fx_node *node = &l->graph->nodes[i];
        int first, chain;

        if (node->kind != FX_NODE_CONCAT || !l->uses[i].is_map)
            continue;
        first = fx_lower_input(l, node, 0);
        chain = l->uses[first].chain;
        if (chain < 0 || l->chains[chain].tip != first) {
            chain = l->n_chains++;
            if (can_be_prefix(l, first))
                l->uses[first].chain = chain;
        }
        l->uses[i].chain = chain;
        l->chains[chain].tip = i;
        l->chains[chain].view.buffer = -1;
    }
}

/* Whether node u reads v, a value of the chain, as a link of it or by a norm like the others; eps:
 * of the norms so far, below 0 before the first. */
static bool reads_as_norm(const struct fx_lowering *l, const struct fx_node *u, int j, int chain,
                          float *eps)
{
    if (u->kind == FX_NODE_CONCAT)
        return j == 0 && l->uses[u - l->graph->nodes].chain == chain;
    if (u->kind != FX_NODE_BATCHNORM || (*eps >= 0 && *eps != u->eps) ||
        fx_graph_is_fixed(l->graph, u))
        return false;
    *eps = u->eps;
    return true;
}

/* A chain whose values only norms that train, with one eps, read, the whole of it among them, and
 * none a value that has grown since: what each norm hands on is linear in sums over the batch, so
 * the part that needs them is added once. */
static void find_gathering(struct fx_lowering *l, int chain)
{
    struct fx_concat_chain *g = &l->chains[chain];
    float eps = -1;
    bool reads_tip = false;
    int link = -1; /* the last so far */

    for (int i = 0; i < l->graph->n_nodes; i++) {
        const struct fx_node *u = &l->graph->nodes[i];

        for (int j = 0; j < u->n_inputs; j++) {
            int v = fx_lower_input(l, u, j);

            if (l->uses[v].chain != chain)
                continue;
            if (!reads_as_norm(l, u, j, chain, &eps) || (link >= 0 && v != link))
                return;
            reads_tip = reads_tip || v == g->tip;
        }
        if (l->uses[i].chain == chain && u->kind == FX_NODE_CONCAT)
            link = i;
    }
    g->gathers = reads_tip;
    g->eps = eps;
}

/* A norm with ReLU that one convolution reads and can apply itself.  The convolution then reads the
 * input of the norm. */
static void find_absorbed(struct fx_lowering *l)
{
    for (int i = 0; i < l->graph->n_nodes && l->rules->conv_norms; i++) {
        const struct fx_node *node = &l->graph->nodes[i];
        struct fx_use *use = &l->uses[i];
        int user = only_user(l, i);

        if (node->kind != FX_NODE_BATCHNORM || !node->relu || use->is_kept || use->chain >= 0 ||
            use->fused_drop >= 0 || user < 0 || l->graph->nodes[user].kind != FX_NODE_CONV2D ||
            l->uses[user].is_pooled || !l->rules->conv_norms(l->rules->ctx, user))
            continue;
        use->is_absorbed = true;
        l->uses[fx_lower_input(l, node, 0)].n_left++;
    }
}

/* Does the backward pass of a user read this value itself? */
static bool user_needs_value(const struct fx_node *user)
{
    return user->kind == FX_NODE_CONV2D || user->kind == FX_NODE_BATCHNORM;
}

/* A norm's result is computed again if that is needed at all and only for convolutions: cheaper
 * than keeping it, as its input is kept anyway. */
static void find_deferred(struct fx_lowering *l)
{
    for (int i = 0; i < l->graph->n_nodes; i++) {
        const struct fx_node *node = &l->graph->nodes[i];
        bool is_norm = node->kind == FX_NODE_BATCHNORM && l->uses[i].fused_drop < 0;

        if (node->kind == FX_NODE_DROPOUT && l->uses[i].is_map)
            is_norm = l->uses[node->inputs[0]].fused_drop == i;
        l->uses[i].is_deferred =
            is_norm && !l->rules->keeps_norms && !l->uses[i].is_kept && l->uses[i].chain < 0;
    }
    for (int i = 0; i < l->graph->n_nodes; i++)
        for (int j = 0; j < l->graph->nodes[i].n_inputs; j++)
            if (l->graph->nodes[i].kind == FX_NODE_BATCHNORM)
                l->uses[fx_lower_input(l, &l->graph->nodes[i], j)].is_deferred = false;
}

static void find_needed(struct fx_lowering *l)
{
    for (int i = 0; i < l->graph->n_nodes; i++) {
        const struct fx_node *node = &l->graph->nodes[i];

        if (node->kind == FX_NODE_ADD && node->relu)
            l->uses[i].is_needed = true;
        if (user_needs_value(node))
            l->uses[fx_lower_input(l, node, 0)].is_needed = true;
    }
}

enum fx_status fx_lower_analyse(struct fx_lowering *l)
{
    FX_TRY(find_maps(l));
    find_users(l);
    fuse_dropouts(l);
    fuse_sums(l);
    find_pooled(l);
    find_group_major(l);
    find_chains(l);
    find_absorbed(l);
    if (l->lowered->mode == FX_TRAIN) {
        find_wanted_gradients(l);
        for (int chain = 0; l->rules->gathers_norms && chain < l->n_chains; chain++)
            find_gathering(l, chain);
        find_deferred(l);
        find_needed(l);
    }
    return FX_OK;
}
