/* Who reads whom in the architectures: shortcuts, dropouts, ReLUs, residual sums. */
#include "net/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct fx_model_config config_of(const char *arch, const char *fusion, int n_experts)
{
    return (struct fx_model_config){ .arch = arch,
                                     .fusion = fusion,
                                     .n_experts = n_experts,
                                     .n_classes = 100,
                                     .expert_dropout = -1,
                                     .fusion_dropout = -1 };
}

static void build(struct fx_graph *graph, const char *arch, const char *fusion, int n_experts)
{
    struct fx_model_config config = config_of(arch, fusion, n_experts);
    struct fx_err err = { 0 };

    if (fx_model_build(graph, &config, &err) != FX_OK)
        fail_msg("%s + %s: %s", arch, fusion ? fusion : "none", err.msg);
}

static int count_dropouts(const struct fx_graph *graph, int lane)
{
    int n = 0;

    for (int i = 0; i < graph->n_nodes; i++) {
        const struct fx_node *node = &graph->nodes[i];

        if (node->lane != lane || node->p == 0)
            continue;
        assert_int_equal(node->dropout_layer, n);
        n++;
    }
    return n;
}

/* One a block by default in wide ResNet and ResNeXt, none in the others; p = 0 builds none. */
static void dropouts_are_where_the_networks_have_them(void **state)
{
    static const struct {
        const char *arch;
        double dropout;
        int n;
    } known[] = {
        { "densenet121", -1, 0 },
        { "densenet121", 0.2, 58 },
        { "resnet18", -1, 0 },
        { "resnet18", 0.1, 8 },
        { "improved_wideresnet28_10", -1, 12 },
        { "improved_wideresnet28_10", 0, 0 },
        { "preact_resnext29_8x64d", -1, 9 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct fx_model_config config = config_of(known[i].arch, "TransformerBase", 2);
        struct fx_err err = { 0 };
        struct fx_graph graph;

        config.expert_dropout = known[i].dropout;
        assert_int_equal(fx_model_build(&graph, &config, &err), FX_OK);
        assert_int_equal(count_dropouts(&graph, 1), known[i].n);
        assert_int_equal(count_dropouts(&graph, FX_LANE_FUSION), 2);
        fx_graph_fini(&graph);
    }
}

/* The node that has the parameter. */
static int node_of(const struct fx_graph *graph, const char *name)
{
    int param = fx_graph_find_param(graph, name);

    for (int i = 0; param >= 0 && i < graph->n_nodes; i++)
        for (int j = 0; j < graph->nodes[i].n_params; j++)
            if (graph->nodes[i].params[j] == param)
                return i;
    fail_msg("no node has %s", name);
    return -1;
}

/* Node `user` reads node `maker`, through a dropout when there is one. */
static void check_reads(const struct fx_graph *graph, const char *user, const char *maker,
                        bool through_dropout)
{
    int from = graph->nodes[node_of(graph, user)].inputs[0];

    assert_int_equal(graph->nodes[from].kind == FX_NODE_DROPOUT, through_dropout);
    if (through_dropout)
        from = graph->nodes[from].inputs[0];
    assert_int_equal(from, node_of(graph, maker));
}

/* Who reads whom where the families differ: shortcuts and dropouts. */
static void blocks_are_wired_as_published(void **state)
{
    static const struct {
        const char *arch;
        const char *user, *maker;
        bool through_dropout, relu; /* relu: the maker's */
    } wires[] = {
        { "improved_wideresnet28_10", "block2.layer.0.conv_shortcut.weight",
          "block2.layer.0.bn1.weight", false, true },
        { "improved_wideresnet28_10", "block2.layer.0.conv1.weight", "block2.layer.0.bn1.weight",
          false, true },
        { "improved_wideresnet28_10", "block2.layer.1.conv2.weight", "block2.layer.1.bn2.weight",
          true, true },
        { "preact_resnext29_8x64d", "layer1.0.shortcut.0.weight", "conv1.weight", false, false },
        { "preact_resnext29_8x64d", "layer1.0.bn1.weight", "conv1.weight", false, false },
        { "preact_resnext29_8x64d", "layer2.1.bn3.weight", "layer2.1.conv2.conv.weight", true,
          false },
        { "resnet18", "layer1.0.conv2.weight", "layer1.0.bn1.weight", true, true },
        { "resnet18", "layer1.0.conv1.weight", "bn1.weight", false, true },
        { "resnet18", "layer2.0.shortcut.1.weight", "layer2.0.shortcut.0.weight", false, false },
        { "resnet18", "layer2.0.bn2.weight", "layer2.0.conv2.weight", false, false },
        { "densenet121", "features.denseblock1.dense_block.0.dense_layer.5.weight",
          "features.denseblock1.dense_block.0.dense_layer.3.weight", false, true },
        { "densenet121", "features.denseblock1.dense_block.0.dense_layer.0.weight",
          "features.1.weight", false, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof wires / sizeof *wires; i++) {
        struct fx_model_config config = config_of(wires[i].arch, NULL, 1);
        struct fx_err err = { 0 };
        struct fx_graph graph;
        char user[128], maker[128];

        config.expert_dropout = 0.5;
        assert_int_equal(fx_model_build(&graph, &config, &err), FX_OK);
        snprintf(user, sizeof user, "expert_backbones.0.%s", wires[i].user);
        snprintf(maker, sizeof maker, "expert_backbones.0.%s", wires[i].maker);
        check_reads(&graph, user, maker, wires[i].through_dropout);
        assert_int_equal(graph.nodes[node_of(&graph, maker)].relu, wires[i].relu);
        fx_graph_fini(&graph);
    }
}

/* Where a ReLU follows a BatchNorm or a Linear, and where none does. */
static void relus_are_where_the_networks_have_them(void **state)
{
    static const struct {
        const char *arch, *name;
        bool relu;
    } known[] = {
        { "resnet18", "expert_backbones.0.bn1.weight", true },
        { "resnet18", "expert_backbones.0.layer3.1.bn2.weight", false },
        { "resnet18", "expert_backbones.0.layer3.0.shortcut.1.weight", false },
        { "resnet18", "expert_backbones.0.linear.weight", false },
        { "densenet121", "expert_backbones.0.features.norm_final.weight", true },
        { "densenet121", "expert_backbones.0.features.transition2.transition_layer.0.weight",
          true },
        { "improved_wideresnet28_10", "expert_backbones.0.bn1.weight", true },
        { "preact_resnext29_8x64d", "expert_backbones.0.bn.weight", true },
        { "resnet18", "fusion_module.mlp.0.weight", true },
        { "resnet18", "fusion_module.mlp.3.weight", false },
        { "resnet18", "global_head.weight", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct fx_graph graph;

        build(&graph, known[i].arch, "multiplicative", 1);
        assert_int_equal(graph.nodes[node_of(&graph, known[i].name)].relu, known[i].relu);
        fx_graph_fini(&graph);
    }
}

/* Residual sums end in a ReLU in the post-activation family only. */
static void sums_end_as_published(void **state)
{
    static const struct {
        const char *arch;
        int n;
        bool relu;
    } known[] = { { "resnet18", 8, true },
                  { "improved_wideresnet28_10", 12, false },
                  { "preact_resnext29_8x64d", 9, false },
                  { "densenet121", 0, false } };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct fx_graph graph;
        int n = 0;

        build(&graph, known[i].arch, NULL, 1);
        for (int j = 0; j < graph.n_nodes; j++) {
            if (graph.nodes[j].kind != FX_NODE_ADD)
                continue;
            assert_int_equal(graph.nodes[j].relu, known[i].relu);
            n++;
        }
        assert_int_equal(n, known[i].n);
        fx_graph_fini(&graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dropouts_are_where_the_networks_have_them),
        cmocka_unit_test(blocks_are_wired_as_published),
        cmocka_unit_test(relus_are_where_the_networks_have_them),
        cmocka_unit_test(sums_end_as_published),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
