/* The four architectures and six fusions as graphs: counts, costs, names, order and initial values
 * against known numbers; texts that are not architectures. */
#include "net/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void build(struct fx_graph *graph, const char *arch, const char *fusion, int n_experts)
{
    struct fx_model_config config = { .arch = arch,
                                      .fusion = fusion,
                                      .n_experts = n_experts,
                                      .n_classes = 100,
                                      .expert_dropout = -1,
                                      .fusion_dropout = -1 };
    struct fx_err err = { 0 };

    if (fx_model_build(graph, &config, &err) != FX_OK)
        fail_msg("%s + %s: %s", arch, fusion ? fusion : "none", err.msg);
}

/* Parameters and entries: counted by PyTorch on the original's networks.  MACs: the exact counts of
 * one forward pass, in units of 0.1 million. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_size_networks_have_the_known_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
