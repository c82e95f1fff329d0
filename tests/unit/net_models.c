/* Architectures and fusions as graphs: counts, costs, names, order, dropouts, the
 * shape table; and texts that are not architectures, each with the message it gets. */
#include "net/arch.h"
#include "net/fusion.h"
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

/* Parameters and entries: counted by PyTorch on the original's networks.  MACs: the exact counts of
 * one forward pass, in millions. */
static void full_size_networks_have_the_known_counts(void **state)
{
    static const struct {
        const char *arch;
        int width;
        int64_t parameters, entries;
        double mmac;
    } known[] = {
        { "densenet121", 1024, 7048676, 727, 888.4 },
        { "resnet18", 512, 11220132, 122, 555.5 },
        { "improved_wideresnet28_10", 640, 36536884, 155, 5243.4 },
        { "preact_resnext29_8x64d", 1024, 34515364, 173, 5387.4 },
        { "preact_resnet18", 512, 11218340, 107, 555.5 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct fx_graph graph;
        struct fx_model_size size;

        build(&graph, known[i].arch, NULL, 1);
        fx_model_measure(&graph, 0, &size);
        assert_int_equal(graph.nodes[graph.features[0]].shape.c, known[i].width);
        assert_int_equal(size.parameters, known[i].parameters);
        assert_int_equal(size.entries, known[i].entries);
        assert_float_equal((double)size.macs / 1e6, known[i].mmac, 0.05);
        fx_graph_fini(&graph);
    }
}

/* Fusion module and head on four experts of D = 512: parameters added up by hand. */
static void fusions_have_the_known_counts(void **state)
{
    const int64_t d = 512, norms = 4 * 2 * d, linear = d * d + d, head = 100 * d + 100;
    const struct {
        const char *fusion;
        int64_t parameters;
    } known[] = {
        { "multiplicative", norms + 2 * linear + head },
        { "multiplicativeAddition", 4 + norms + 2 * linear + head },
        { "TransformerBase", norms + 3 * d * d + 3 * d + linear + 2 * linear + head },
        { "concatenation", norms + 4 * d * d + d + linear + head },
        { "simpleAddition", 4 + 2 * linear + head },
        { "multiplicativeShifted", norms + 2 * linear + head },
        { "gated", 4 * 4 * d + 4 + head },
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct fx_graph graph;
        struct fx_model_size size;

        build(&graph, "resnet18", known[i].fusion, 4);
        fx_model_measure(&graph, FX_LANE_FUSION, &size);
        assert_int_equal(size.parameters, known[i].parameters);
        fx_graph_fini(&graph);
    }
}

/* The first parameters of each network and of each fusion module, in state_dict order. */
static void names_stand_in_state_dict_order(void **state)
{
    static const struct {
        const char *arch, *fusion, *first; /* first: the one before the sequence */
        const char *names[6];
    } known[] = {
        { "densenet121",
          NULL,
          "expert_backbones.0.features.0.weight",
          { "features.1.weight", "features.1.bias", "features.1.running_mean",
            "features.1.running_var", "features.1.num_batches_tracked",
            "features.denseblock1.dense_block.0.dense_layer.0.weight" } },
        { "densenet121",
          NULL,
          "expert_backbones.0.features.denseblock4.dense_block.15.dense_layer.5.weight",
          { "features.norm_final.weight", "features.norm_final.bias",
            "features.norm_final.running_mean", "features.norm_final.running_var",
            "features.norm_final.num_batches_tracked", "classifier.weight" } },
        { "densenet121",
          NULL,
          "expert_backbones.0.features.transition3.transition_layer.0.num_batches_tracked",
          { "features.transition3.transition_layer.2.weight",
            "features.denseblock4.dense_block.0.dense_layer.0.weight" } },
        { "resnet18",
          NULL,
          "expert_backbones.0.layer2.0.bn2.num_batches_tracked",
          { "layer2.0.shortcut.0.weight", "layer2.0.shortcut.1.weight" } },
        { "improved_wideresnet28_10",
          NULL,
          "expert_backbones.0.block1.layer.0.conv1.weight",
          { "block1.layer.0.bn2.weight" } },
        { "improved_wideresnet28_10",
          NULL,
          "expert_backbones.0.block3.layer.0.conv2.weight",
          { "block3.layer.0.conv_shortcut.weight", "block3.layer.1.bn1.weight" } },
        { "preact_resnext29_8x64d",
          NULL,
          "expert_backbones.0.layer1.0.conv3.weight",
          { "layer1.0.shortcut.0.weight", "layer1.1.bn1.weight" } },
        { "preact_resnext29_8x64d",
          NULL,
          "expert_backbones.0.layer3.2.bn2.num_batches_tracked",
          { "layer3.2.conv2.conv.weight", "layer3.2.bn3.weight" } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct fx_graph graph;
        int at;

        build(&graph, known[i].arch, known[i].fusion, 1);
        at = fx_graph_find_param(&graph, known[i].first);
        assert_true(at >= 0);
        for (int j = 0; j < 6 && known[i].names[j]; j++) {
            const char *name = graph.params[at + 1 + j].name;

            assert_string_equal(name + strlen("expert_backbones.0."), known[i].names[j]);
        }
        fx_graph_fini(&graph);
    }
}

static void fusion_names_stand_in_state_dict_order(void **state)
{
    static const char *const addition[] = {
        "fusion_module.expert_weights",
        "fusion_module.norms.0.weight",
        "fusion_module.norms.0.bias",
        "fusion_module.norms.1.weight",
        "fusion_module.norms.1.bias",
        "fusion_module.mlp.0.weight",
        "fusion_module.mlp.0.bias",
        "fusion_module.mlp.3.weight",
        "fusion_module.mlp.3.bias",
        "global_head.weight",
        "global_head.bias",
    };
    static const char *const transformer[] = {
        "fusion_module.attention.in_proj_weight",
        "fusion_module.attention.in_proj_bias",
        "fusion_module.attention.out_proj.weight",
        "fusion_module.attention.out_proj.bias",
        "fusion_module.ffn.0.weight",
    };
    static const char *const gated[] = {
        "fusion_module.gate.weight",
        "fusion_module.gate.bias",
        "global_head.weight",
    };
    struct fx_graph graph;
    int at;

    (void)state;
    build(&graph, "resnet18:width=8", "multiplicativeAddition", 2);
    at = fx_graph_find_param(&graph, "expert_backbones.1.linear.bias");
    for (size_t i = 0; i < sizeof addition / sizeof *addition; i++)
        assert_string_equal(graph.params[at + 1 + (int)i].name, addition[i]);
    assert_int_equal(graph.n_params, at + 1 + (int)(sizeof addition / sizeof *addition));
    fx_graph_fini(&graph);
    build(&graph, "resnet18:width=8", "TransformerBase", 2);
    at = fx_graph_find_param(&graph, "fusion_module.norms.1.bias");
    for (size_t i = 0; i < sizeof transformer / sizeof *transformer; i++)
        assert_string_equal(graph.params[at + 1 + (int)i].name, transformer[i]);
    fx_graph_fini(&graph);
    build(&graph, "resnet18:width=8", "gated", 2);
    at = fx_graph_find_param(&graph, "expert_backbones.1.linear.bias");
    for (size_t i = 0; i < sizeof gated / sizeof *gated; i++)
        assert_string_equal(graph.params[at + 1 + (int)i].name, gated[i]);
    fx_graph_fini(&graph);
}

/* Inputs come before users, every parameter is used by one node, names are found again. */
static void graphs_are_well_formed(void **state)
{
    (void)state;
    for (int a = 0; fx_archs[a].name; a++) {
        struct fx_graph graph;

        build(&graph, fx_archs[a].name, "TransformerBase", 3);
        for (int i = 0; i < graph.n_nodes; i++) {
            const struct fx_node *node = &graph.nodes[i];

            for (int j = 0; j < node->n_inputs; j++)
                assert_true(node->inputs[j] >= 0 && node->inputs[j] < i);
            if (node->kind != FX_NODE_BATCHNORM)
                continue;
            assert_int_equal(graph.params[node->params[3]].kind, FX_PARAM_RUNNING_VAR);
            assert_int_equal(graph.params[node->params[3] + 1].kind, FX_PARAM_COUNTER);
            assert_int_equal(graph.params[node->params[3] + 1].n_elements, 1);
        }
        for (int i = 0; i < graph.n_params; i++)
            assert_int_equal(fx_graph_find_param(&graph, graph.params[i].name), i);
        assert_int_equal(fx_graph_find_param(&graph, "expert_backbones.0.conv9.weight"), -1);
        fx_graph_fini(&graph);
    }
}

static void experts_may_differ(void **state)
{
    struct fx_graph graph;

    (void)state;
    build(&graph, "resnet18:width=20;improved_wideresnet28_10:depth=10,width=1", NULL, 2);
    assert_int_equal(graph.nodes[graph.features[0]].shape.c, 160);
    assert_int_equal(graph.nodes[graph.features[1]].shape.c, 64);
    fx_graph_fini(&graph);
}

/* The widest expert gives D; the others pass a Linear of the fusion module, and no other parameter
 * is another than without it. */
static void unequal_widths_are_adapted(void **state)
{
    static const char mixed[] = "resnet18:width=2,blocks=1-1-1-1;resnet18:width=4,blocks=1-1-1-1;"
                                "preact_resnet18:width=2,blocks=1-1-1-1";
    struct fx_graph graph, equal;
    int weight;

    (void)state;
    for (int i = 0; fx_fusions[i].name; i++) {
        build(&graph, mixed, fx_fusions[i].name, 3);
        build(&equal, "resnet18:width=4,blocks=1-1-1-1", fx_fusions[i].name, 3);
        assert_int_equal(fx_model_width(&graph), 32);
        assert_int_equal(fx_graph_find_param(&graph, "fusion_module.adapters.1.weight"), -1);
        for (const char *name = "02"; *name; name++) {
            char text[] = "fusion_module.adapters.k.weight";
            text[23] = *name;
            weight = fx_graph_find_param(&graph, text);
            assert_true(weight >= 0);
            assert_int_equal(graph.params[weight].shape[0], 32);
            assert_int_equal(graph.params[weight].shape[1], 16);
            assert_int_equal(graph.params[weight].group, FX_GROUP_FUSION);
        }
        for (int p = 0; p < equal.n_params; p++) {
            const struct fx_param *param = &equal.params[p];
            if (strncmp(param->name, "expert_", 7) == 0)
                continue;
            int other = fx_graph_find_param(&graph, param->name);
            assert_true(other >= 0);
            assert_int_equal(graph.params[other].n_elements, param->n_elements);
        }
        assert_int_equal(fx_graph_find_param(&equal, "fusion_module.adapters.0.weight"), -1);
        fx_graph_fini(&graph);
        fx_graph_fini(&equal);
    }
}

static void lists_as_people_write_them(void **state)
{
    static const char *const lists[][2] = {
        { "resnet18", "resnet18" },
        { "resnet18,densenet121", "resnet18;densenet121" },
        { "resnet18:width=8,blocks=1-1,densenet121:growth=8,resnet18",
          "resnet18:width=8,blocks=1-1;densenet121:growth=8;resnet18" },
        { "resnet18;densenet121", "resnet18;densenet121" },
        { "resnet18:width=8,", "resnet18:width=8," },
        { "resnet18,", "resnet18," },
        { ",resnet18", ";resnet18" },
        { "resnet18,nothing,resnet18", "resnet18,nothing;resnet18" },
        { "", "" },
    };
    char list[FX_ARCH_LIST_BYTES], long_list[2 * FX_ARCH_LIST_BYTES];
    struct fx_err err = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        assert_int_equal(fx_arch_list_read(lists[i][0], list, &err), FX_OK);
        assert_string_equal(list, lists[i][1]);
    }
    assert_int_equal(fx_arch_count("a;b;c"), 3);
    memset(long_list, ',', sizeof long_list - 1);
    long_list[sizeof long_list - 1] = '\0';
    assert_int_equal(fx_arch_list_read(long_list, list, &err), FX_EUSAGE);
}

static void wrong_texts_are_refused_by_name(void **state)
{
    static const struct {
        const char *arch, *fusion;
        int n_experts;
        const char *message;
    } wrong[] = {
        { "resnet", NULL, 1,
          "unknown architecture 'resnet' (there are: densenet121, resnet18, "
          "improved_wideresnet28_10, preact_resnext29_8x64d" },
        { "", NULL, 1, "unknown architecture ''" },
        { "resnet18:depth=3", NULL, 1,
          "architecture resnet18: unknown key 'depth' (it has: width, blocks)" },
        { "resnet18:width", NULL, 1, "architecture resnet18: width=: must be a whole number" },
        { "resnet18:width=", NULL, 1, "must be a whole number from 1 to 1024" },
        { "resnet18:width=0", NULL, 1, "width=0: must be a whole number from 1 to 1024" },
        { "resnet18:width=-8", NULL, 1, "must be a whole number" },
        { "resnet18:width=8x", NULL, 1, "width=8x: must be a whole number" },
        { "resnet18:width=99999999999999999999", NULL, 1, "must be a whole number" },
        { "resnet18:width=8,", NULL, 1, NULL },
        { "resnet18:width=8,,", NULL, 1, "unknown key ''" },
        { "resnet18:blocks=1-1-1-1-1", NULL, 1, "one to four numbers, joined by '-'" },
        { "resnet18:blocks=1--1", NULL, 1, "one to four numbers" },
        { "resnet18:blocks=1-1-", NULL, 1, "one to four numbers" },
        { "densenet121:growth=8-8", NULL, 1, "growth=8-8: must be a whole number" },
        { "improved_wideresnet28_10:depth=12", NULL, 1,
          "expert_backbones.0: depth 12: a wide ResNet has 6n + 4 layers (10, 16, 22, 28)" },
        { "preact_resnext29_8x64d:depth=12", NULL, 1, "a ResNeXt has 9n + 2 layers" },
        { "preact_resnext29_8x64d:width=24,base_width=20", NULL, 1, "multiple of 64" },
        { "resnet18:width=10", "multiply", 2,
          "unknown fusion 'multiply' (there are: multiplicative, multiplicativeAddition, "
          "TransformerBase, concatenation, simpleAddition, multiplicativeShifted" },
        { "resnet18:width=3,blocks=1-1", "TransformerBase", 2,
          "fusion TransformerBase: needs a feature width that is a multiple of 8, not 6" },
        { "resnet18;resnet18", "multiplicative", 3, "lists 2 for 3 experts" },
        { "resnet18", "multiplicative", 9, "9 experts: 1 to 8 are possible" },
        { "resnet18", "multiplicative", 0, "0 experts" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct fx_model_config config =
            config_of(wrong[i].arch, wrong[i].fusion, wrong[i].n_experts);
        struct fx_err err = { 0 };
        struct fx_graph graph;
        enum fx_status status = fx_model_build(&graph, &config, &err);

        fx_graph_fini(&graph);
        if (!wrong[i].message) {
            assert_int_equal(status, FX_OK);
            continue;
        }
        if (status != FX_EUSAGE || !strstr(err.msg, wrong[i].message))
            fail_msg("'%s': status %d, '%s'", wrong[i].arch, (int)status, err.msg);
    }
}

static void wrong_dropouts_are_refused(void **state)
{
    struct fx_model_config config = config_of("resnet18:width=8", "multiplicative", 2);
    struct fx_err err = { 0 };
    struct fx_graph graph;

    (void)state;
    config.expert_dropout = 1;
    assert_int_equal(fx_model_build(&graph, &config, &err), FX_EUSAGE);
    assert_non_null(strstr(err.msg, "dropout 1: must be at least 0 and below 1"));
}

/* A line a node between the heading and the sums; the sums are those of fx_model_measure. */
static void the_shape_table_has_a_line_a_node(void **state)
{
    struct fx_err err = { 0 };
    struct fx_graph graph;
    char *text = NULL;
    size_t n = 0;
    int n_lines = 0;
    FILE *out = open_memstream(&text, &n);

    (void)state;
    assert_non_null(out);
    build(&graph, "resnet18", "concatenation", 4);
    assert_int_equal(fx_model_print_shapes(&graph, out, &err), FX_OK);
    assert_int_equal(fclose(out), 0);
    for (const char *s = text; (s = strchr(s, '\n')); s++)
        n_lines++;
    assert_int_equal(n_lines, 1 + graph.n_nodes + 4 + 1 + 1);
    assert_non_null(strstr(text, "expert 3: 11220132 parameters in 122 entries, 555.5 MMAC, "));
    assert_non_null(strstr(text, "expert_backbones.2.layer4.0.shortcut.0 "));
    assert_non_null(strstr(text, "conv 3x3/2"));
    free(text);
    fx_graph_fini(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_size_networks_have_the_known_counts),
        cmocka_unit_test(fusions_have_the_known_counts),
        cmocka_unit_test(names_stand_in_state_dict_order),
        cmocka_unit_test(fusion_names_stand_in_state_dict_order),
        cmocka_unit_test(graphs_are_well_formed),
        cmocka_unit_test(experts_may_differ),
        cmocka_unit_test(unequal_widths_are_adapted),
        cmocka_unit_test(lists_as_people_write_them),
        cmocka_unit_test(wrong_texts_are_refused_by_name),
        cmocka_unit_test(wrong_dropouts_are_refused),
        cmocka_unit_test(the_shape_table_has_a_line_a_node),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
