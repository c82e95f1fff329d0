/* Graphs become instructions, with the rules of a back end that launches equal lanes together:
 * lanes of equal experts get equal instructions at equal offsets, every convolution is compiled
 * once a direction, no gradient of a dense node is read or added to before something was written
 * there, and the operands of weight gradients stay for back ends that run those on a second stream.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "backend/lower/lower.h"
#include "net/fusion.h"
#include "net/model.h"

enum { N_EXPERTS = 3, N_IMAGES = 4, BLOCK = 8 };

static const char *const archs[] = {
    "resnet18:width=12",
    "densenet121:growth=6,blocks=2-2-2-2",
    "preact_resnext29_8x64d:depth=11,cardinality=4,base_width=8,width=16",
    "improved_wideresnet28_10:depth=10,width=1",
    "preact_resnet18:width=12",
};

/* One model, lowered and planned. */
struct lowering_case {
    struct fx_graph graph;
    struct fx_lowered lowered;
    int *compiled;   /* owned; (nodes, directions) how often */
    bool conv_norms; /* convolutions apply norms */
    int n_dense;     /* instructions of dense nodes that were announced */
    size_t base[FX_MAX_LANES_OF_GRAPH], size[FX_MAX_LANES_OF_GRAPH];
};

static int group_major_of(void *ctx, const struct fx_node *conv, int c_in, int n)
{
    (void)ctx;
    (void)conv;
    (void)c_in;
    (void)n;
    return 1;
}

static enum fx_status count_conv(void *ctx, int node, enum fx_conv_direction direction,
                                 const struct fx_view *x, const struct fx_view *y,
                                 struct fx_err *err)
{
    struct lowering_case *k = ctx;
    const struct fx_node *n = &k->graph.nodes[node];

    (void)err;
    assert_int_equal(x->c, k->graph.nodes[n->inputs[0]].shape.c);
    assert_int_equal(y->c, n->shape.c);
    assert_true((x->is_exact || k->conv_norms) && y->is_exact);
    assert_int_equal(y->w, (x->w + 2 * n->pad - n->kernel) / n->stride + 1);
    k->compiled[node * FX_N_CONV_DIRECTIONS + (int)direction]++;
    return FX_OK;
}

static bool any_conv_norms(void *ctx, int node)
{
    (void)ctx;
    (void)node;
    return true;
}

static void count_vector(void *ctx, int node, bool is_backward)
{
    struct lowering_case *k = ctx;

    (void)node;
    (void)is_backward;
    k->n_dense++;
}

/* Of cuda, AGAIN where memory is short: norms are computed again in the backward pass. */
enum rules { AS_CUDA, AS_CUDA_AGAIN, AS_CPU, N_RULES };

static void lower_case(struct lowering_case *k, const char *arch, const char *fusion,
                       enum fx_mode mode, enum rules of)
{
    bool as_cpu = of == AS_CPU;
    struct fx_model_config config = { .arch = arch,
                                      .fusion = fusion,
                                      .n_experts = N_EXPERTS,
                                      .n_classes = 10,
                                      .expert_dropout = 0.1,
                                      .fusion_dropout = 0.2 };
    struct fx_lower_rules rules = { .block = BLOCK,
                                    .value_bytes = 2,
                                    .mask_bytes = as_cpu ? 2 : 1,
                                    .draws_apart = as_cpu,
                                    .norms_add = !as_cpu,
                                    .stats_copy = !as_cpu,
                                    .norms_relu = !as_cpu,
                                    .keeps_norms = of == AS_CUDA,
                                    .gathers_norms = true,
                                    .conv_adds = !as_cpu,
                                    .wgrad_stream = !as_cpu,
                                    .group_major_of = group_major_of,
                                    .conv = count_conv,
                                    .conv_norms = as_cpu ? any_conv_norms : NULL,
                                    .dense = count_vector,
                                    .ctx = k };
    struct fx_err err = { 0 };

    *k = (struct lowering_case){ .conv_norms = as_cpu };
    assert_int_equal(fx_model_build(&k->graph, &config, &err), FX_OK);
    k->compiled = calloc((size_t)k->graph.n_nodes * FX_N_CONV_DIRECTIONS + 1, sizeof *k->compiled);
    assert_non_null(k->compiled);
    assert_int_equal(fx_lower(&k->lowered, &rules, &k->graph, mode, N_IMAGES, &err), FX_OK);
    assert_int_equal(fx_lowered_place_lanes(&k->lowered, k->base, k->size, &err), FX_OK);
}

static void free_case(struct lowering_case *k)
{
    fx_lowered_fini(&k->lowered);
    fx_graph_fini(&k->graph);
    free(k->compiled);
}

static int count_steps(const struct fx_lowered *lowered, enum fx_opcode kind)
{
    int n = 0;

    for (int lane = 0; lane <= lowered->n_lanes; lane++)
        for (int i = 0; i < lowered->lanes[lane].n_instrs; i++)
            n += lowered->lanes[lane].instrs[i].op == kind;
    return n;
}

/* Instructions that draw the mask that they apply; all are in the forward pass. */
static int count_draws(const struct fx_lowered *lowered)
{
    int n = 0;

    for (int lane = 0; lane <= lowered->n_lanes; lane++)
        for (int i = 0; i < lowered->lanes[lane].n_instrs; i++)
            if (lowered->lanes[lane].instrs[i].draws) {
                assert_true(i < lowered->lanes[lane].n_forward);
                n++;
            }
    return n;
}

/* Calls check for every architecture, fusion, mode and set of rules. */
static void for_all_cases(void (*check)(const struct lowering_case *k, bool as_cpu))
{
    for (size_t a = 0; a < sizeof archs / sizeof *archs; a++)
        for (int f = 0; fx_fusions[f].name; f++)
            for (int c = 0; c < 2 * N_RULES; c++) {
                struct lowering_case k;

                lower_case(&k, archs[a], fx_fusions[f].name, c % 2 ? FX_EVAL : FX_TRAIN,
                           (enum rules)(c / 2));
                check(&k, c / 2 == AS_CPU);
                free_case(&k);
            }
}

/* ---- equal lanes ---- */

/* The same place in another lane's region; or, outside of both lanes, the same buffer. */
static void check_places(const struct fx_lowered *l, int lane, const struct fx_view *first,
                         const struct fx_view *other)
{
    const struct fx_buffer *a = &l->plan.buffers[first->buffer],
                           *b = &l->plan.buffers[other->buffer];

    assert_int_equal(first->image_bytes, other->image_bytes);
    if (first->image_bytes == 0)
        return;
    assert_int_equal(first->c, other->c);
    assert_int_equal(first->area, other->area);
    assert_int_equal(first->is_exact, other->is_exact);
    if (a->lane == 0)
        assert_int_equal(b->lane, lane);
    else
        assert_ptr_equal(a, b);
    assert_int_equal(a->offset, b->offset);
}

static void check_equal_lanes(const struct lowering_case *k, bool as_cpu)
{
    const struct fx_lowered *l = &k->lowered;
    const struct fx_instr_list *first = &l->lanes[0];

    (void)as_cpu;
    assert_int_equal(l->n_lanes, N_EXPERTS);
    for (int lane = 1; lane < l->n_lanes; lane++) {
        const struct fx_instr_list *list = &l->lanes[lane];

        assert_int_equal(k->size[lane], k->size[0]);
        assert_int_equal(list->n_instrs, first->n_instrs);
        assert_int_equal(list->n_forward, first->n_forward);
        for (int i = 0; i < list->n_instrs; i++) {
            const struct fx_instr *a = &first->instrs[i], *b = &list->instrs[i];

            assert_int_equal(a->op, b->op);
            assert_int_equal(a->first, b->first);
            assert_int_equal(a->accumulate, b->accumulate);
            assert_memory_equal(a->adds, b->adds, sizeof a->adds);
            for (int v = 0; v < FX_INSTR_MAX_OPERANDS; v++)
                check_places(l, lane, &a->operands[v], &b->operands[v]);
        }
    }
}

static void equal_lanes_have_equal_steps(void **state)
{
    (void)state;
    for_all_cases(check_equal_lanes);
}

/* ---- what the rules are asked ---- */

static bool reads_norm(const struct lowering_case *k, const struct fx_node *node, int i)
{
    return k->graph.nodes[node->inputs[i]].kind == FX_NODE_BATCHNORM;
}

static void check_rules(const struct lowering_case *k, bool as_cpu)
{
    const struct fx_lowered *l = &k->lowered;
    bool trains = l->mode == FX_TRAIN;
    int n_maps_dropped = 0, n_sums = 0, n_of_norms = 0, n_relus = 0;

    for (int i = 0; i < k->graph.n_nodes; i++) {
        const struct fx_node *node = &k->graph.nodes[i];
        const int *compiled = &k->compiled[i * FX_N_CONV_DIRECTIONS];
        bool is_conv = node->kind == FX_NODE_CONV2D;
        bool is_first = is_conv && node->inputs[0] == k->graph.input;

        assert_int_equal(compiled[FX_CONV_FORWARD], is_conv);
        assert_int_equal(compiled[FX_CONV_WEIGHTS], is_conv && trains);
        assert_int_equal(compiled[FX_CONV_DATA], is_conv && trains && !is_first);
        n_maps_dropped += node->kind == FX_NODE_DROPOUT && !l->nodes[i].is_dense;
        if (node->kind == FX_NODE_ADD && !l->nodes[i].is_dense) {
            n_sums++;
            n_of_norms += reads_norm(k, node, 0) || reads_norm(k, node, 1);
            n_relus += trains && node->relu;
            assert_true(!node->relu || reads_norm(k, node, 0) || reads_norm(k, node, 1));
        }
    }
    assert_int_equal(count_steps(l, FX_INSTR_ADD), as_cpu ? n_sums : n_sums - n_of_norms);
    assert_int_equal(count_steps(l, FX_INSTR_RELU_BACK), as_cpu ? n_relus : 0);
    assert_int_equal(count_steps(l, FX_INSTR_MASK), trains && as_cpu ? n_maps_dropped : 0);
    assert_int_equal(count_draws(l), trains && !as_cpu ? n_maps_dropped : 0);
    assert_int_equal(k->n_dense,
                     count_steps(l, FX_INSTR_DENSE) + count_steps(l, FX_INSTR_DENSE_BACK));
}

static void rules_are_asked_once(void **state)
{
    (void)state;
    for_all_cases(check_rules);
}

/* ---- gradients of vectors ---- */

static bool has_gradient(const struct fx_lowered *l, int node)
{
    return l->nodes[node].is_dense && l->nodes[node].gradient.buffer >= 0;
}

/* Follows who has written which gradient; those of outputs come from the loss. */
static void check_dense_instr(const struct fx_lowered *l, const struct fx_instr *instr,
                              bool *written)
{
    const struct fx_node *node = &l->graph->nodes[instr->node];

    if (instr->op != FX_INSTR_DENSE_BACK && instr->op != FX_INSTR_GLOBALPOOL_BACK)
        return;
    assert_true(written[instr->node]);
    for (int j = 0; instr->op == FX_INSTR_DENSE_BACK && j < node->n_inputs; j++) {
        if (!has_gradient(l, node->inputs[j]))
            continue;
        assert_int_equal(instr->adds[j], written[node->inputs[j]]);
        written[node->inputs[j]] = true;
    }
}

static void check_dense(const struct lowering_case *k, bool as_cpu)
{
    const struct fx_lowered *l = &k->lowered;
    bool *written = calloc((size_t)k->graph.n_nodes, sizeof *written);

    (void)as_cpu;
    assert_non_null(written);
    for (int i = 0; i < k->graph.n_nodes; i++)
        written[i] = l->nodes[i].is_output;
    for (int lane = l->n_lanes; lane >= 0; lane--)
        for (int i = l->lanes[lane].n_forward; i < l->lanes[lane].n_instrs; i++)
            check_dense_instr(l, &l->lanes[lane].instrs[i], written);
    for (int i = 0; i < k->graph.n_nodes; i++)
        if (has_gradient(l, i))
            assert_true(written[i]);
    free(written);
}

static void dense_gradients_are_written_first(void **state)
{
    (void)state;
    for_all_cases(check_dense);
}

/* ---- weight gradients on a second stream ---- */

/* The next CONV_BACK_WEIGHTS instruction behind instruction i, or -1. */
static int next_weights(const struct fx_instr_list *list, int i)
{
    while (++i < list->n_instrs)
        if (list->instrs[i].op == FX_INSTR_CONV_BACK_WEIGHTS)
            return i;
    return -1;
}

static void check_kept(const struct fx_lowered *l, const struct fx_instr *instr, int until)
{
    for (int v = 0; v < 2; v++) {
        const struct fx_buffer *b = &l->plan.buffers[instr->operands[v].buffer];

        assert_true(b->is_kept || b->last >= until);
    }
}

static void check_wgrad_operands(const struct lowering_case *k, bool as_cpu)
{
    for (int lane = 0; lane < k->lowered.n_lanes && !as_cpu; lane++) {
        const struct fx_instr_list *list = &k->lowered.lanes[lane];

        for (int i = next_weights(list, -1); i >= 0; i = next_weights(list, i)) {
            int until = i;

            for (int j = 0; j < FX_LOWER_WGRAD_DELAY && until >= 0; j++)
                until = next_weights(list, until);
            if (until >= 0)
                check_kept(&k->lowered, &list->instrs[i], until);
        }
    }
}

static void maps_of_weights_stay(void **state)
{
    (void)state;
    for_all_cases(check_wgrad_operands);
}

/* ---- norms that convolutions apply ---- */

/* Of a norm in `absorbed` there is no result; the convolution reads what the norm reads. */
static void check_absorbed(const struct lowering_case *k, bool *absorbed)
{
    const struct fx_graph *graph = &k->graph;

    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < k->lowered.lanes[0].n_instrs; i++) {
            const struct fx_instr *s = &k->lowered.lanes[0].instrs[i];

            if (s->norm > 0) {
                const struct fx_node *norm = &graph->nodes[s->norm];

                absorbed[s->norm] = true;
                assert_int_equal(graph->nodes[s->node].inputs[0], s->norm);
                assert_int_equal(norm->kind, FX_NODE_BATCHNORM);
                assert_true(norm->relu);
                assert_int_equal(s->operands[0].c, graph->nodes[norm->inputs[0]].shape.c);
            }
            assert_false(s->op == FX_INSTR_NORM_APPLY && absorbed[s->node]);
        }
}

/* Not where a dropout lies between, nor where something else reads the result as well. */
static void norms_go_into_convolutions(void **state)
{
    static const int expected[] = { 0, 16, 9, 1, 16 };

    (void)state;
    for (int a = 0; a < (int)(sizeof archs / sizeof *archs); a++)
        for (int mode = 0; mode < 2; mode++) {
            struct lowering_case k;
            bool *absorbed;
            int n = 0;

            lower_case(&k, archs[a], "multiplicative", mode ? FX_EVAL : FX_TRAIN, AS_CPU);
            absorbed = calloc((size_t)k.graph.n_nodes, sizeof *absorbed);
            assert_non_null(absorbed);
            check_absorbed(&k, absorbed);
            for (int i = 0; i < k.graph.n_nodes; i++)
                n += absorbed[i];
            assert_int_equal(n, expected[a]);
            free(absorbed);
            free_case(&k);
        }
}

/* ---- gradients that are added ---- */

/* A value that several convolutions read, or a convolution and a sum: who comes later adds to what
 * is there, where it can; the first of them finds nothing. */
static void convolutions_add_gradients(void **state)
{
    static const int expected[] = { 8, 0, 0, 2, 0 };

    (void)state;
    for (int a = 0; a < (int)(sizeof archs / sizeof *archs); a++)
        for (enum rules rules = 0; rules < N_RULES; rules++) {
            bool adds = rules != AS_CPU;
            struct lowering_case k;
            int n = 0;

            lower_case(&k, archs[a], "multiplicative", FX_TRAIN, rules);
            for (int i = 0; i < k.lowered.lanes[0].n_instrs; i++) {
                const struct fx_instr *s = &k.lowered.lanes[0].instrs[i];

                n += s->op == FX_INSTR_CONV_BACK_DATA && s->accumulate;
            }
            assert_int_equal(n, adds ? expected[a] : 0);
            assert_int_equal(count_steps(&k.lowered, FX_INSTR_ADD_INTO),
                             adds ? 0 : N_EXPERTS * expected[a]);
            free_case(&k);
        }
}

/* ---- addresses ---- */

static void views_are_bound(void **state)
{
    struct lowering_case k;
    char *base[FX_MAX_LANES_OF_GRAPH], *arena;

    (void)state;
    lower_case(&k, archs[0], "multiplicative", FX_TRAIN, AS_CPU);
    arena = malloc(k.lowered.plan.n_bytes);
    assert_non_null(arena);
    for (int lane = 0; lane <= k.lowered.n_lanes; lane++)
        base[lane] = arena + k.base[lane];
    fx_lowered_bind(&k.lowered, base);
    for (int lane = 0; lane <= k.lowered.n_lanes; lane++)
        for (int i = 0; i < k.lowered.lanes[lane].n_instrs; i++)
            for (int v = 0; v < FX_INSTR_MAX_OPERANDS; v++) {
                const struct fx_view *view = &k.lowered.lanes[lane].instrs[i].operands[v];
                const struct fx_buffer *b = &k.lowered.plan.buffers[view->buffer];

                if (view->image_bytes == 0)
                    assert_null(view->data);
                else
                    assert_ptr_equal(view->data, arena + k.base[b->lane] + b->offset);
            }
    for (int i = 0; i < k.graph.n_nodes; i++) {
        const struct fx_node_state *node = &k.lowered.nodes[i];

        assert_int_equal(node->stats.stride > 0, node->stats.mean != NULL);
        assert_int_equal(node->mask.n_words > 0, node->mask.words != NULL);
        assert_int_equal(node->gradient.buffer >= 0, node->gradient.data != NULL);
    }
    free(arena);
    free_case(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_lanes_have_equal_steps),
        cmocka_unit_test(rules_are_asked_once),
        cmocka_unit_test(dense_gradients_are_written_first),
        cmocka_unit_test(maps_of_weights_stay),
        cmocka_unit_test(norms_go_into_convolutions),
        cmocka_unit_test(convolutions_add_gradients),
        cmocka_unit_test(views_are_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
