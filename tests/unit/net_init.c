/* Initial values: their distribution, and that they depend on the seed, the component and the
 * parameter's number, and on nothing else. */
#include "net/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void build_config(struct fx_graph *graph, struct fx_model_config config)
{
    struct fx_err err = { 0 };

    config.n_classes = 100;
    config.expert_dropout = config.fusion_dropout = -1;
    if (fx_model_build(graph, &config, &err) != FX_OK)
        fail_msg("%s", err.msg);
}

static void build(struct fx_graph *graph, const char *arch, const char *fusion, int n_experts)
{
    build_config(
        graph, (struct fx_model_config){ .arch = arch, .fusion = fusion, .n_experts = n_experts });
}

/* The values of the parameter of this name, owned by the caller. */
static float *values_of(const struct fx_graph *graph, const char *name, uint64_t seed, int64_t *n)
{
    int i = fx_graph_find_param(graph, name);
    float *values;

    if (i < 0)
        fail_msg("no parameter %s", name);
    *n = graph->params[i].n_elements;
    values = calloc((size_t)*n, sizeof *values);
    assert_non_null(values);
    fx_param_init_fill(&graph->params[i], seed, values);
    return values;
}

struct sample {
    double mean, std, skew, kurtosis, largest;
    int64_t n;
};

static struct sample measure(const struct fx_graph *graph, const char *name)
{
    struct sample s = { 0 };
    float *v = values_of(graph, name, 1, &s.n);

    for (int64_t i = 0; i < s.n; i++)
        s.mean += (double)v[i] / (double)s.n;
    for (int64_t i = 0; i < s.n; i++) {
        double d = (double)v[i] - s.mean;

        s.std += d * d / (double)s.n;
        s.skew += d * d * d / (double)s.n;
        s.kurtosis += d * d * d * d / (double)s.n;
        s.largest = fmax(s.largest, fabs((double)v[i]));
    }
    s.kurtosis /= s.std * s.std;
    s.std = sqrt(s.std);
    s.skew /= s.std * s.std * s.std;
    free(v);
    return s;
}

/* Mean, deviation and shape within five standard errors of a normal's. */
static void check_normal(const struct fx_graph *graph, const char *name, double std)
{
    struct sample s = measure(graph, name);
    double n = (double)s.n;

    assert_true(fabs(s.mean) < 5 * std / sqrt(n));
    assert_true(fabs(s.std / std - 1) < 5 / sqrt(2 * n));
    assert_true(fabs(s.skew) < 5 * sqrt(6 / n));
    assert_true(fabs(s.kurtosis - 3) < 5 * sqrt(24 / n));
}

static void check_uniform(const struct fx_graph *graph, const char *name, double bound)
{
    struct sample s = measure(graph, name);
    double n = (double)s.n;

    assert_true(s.largest <= bound * (1 + 1e-6) && s.largest > bound * (1 - 20 / n));
    assert_true(fabs(s.mean) < 5 * bound / sqrt(3 * n));
    assert_true(fabs(s.std / (bound / sqrt(3)) - 1) < 5 / sqrt(n));
    assert_true(fabs(s.kurtosis - 1.8) < 5 / sqrt(n));
}

static void check_constant(const struct fx_graph *graph, const char *name, double value)
{
    struct sample s = measure(graph, name);

    assert_float_equal(s.mean, value, 1e-12);
    assert_float_equal(s.largest, fabs(value), 1e-12);
}

static void distributions_are_the_stated_ones(void **state)
{
    struct fx_graph graph;

    (void)state;
    build(&graph, "resnet18", "TransformerBase", 2);
    check_normal(&graph, "expert_backbones.0.layer1.0.conv1.weight", sqrt(2.0 / (64 * 9)));
    check_normal(&graph, "expert_backbones.1.layer4.0.shortcut.0.weight", sqrt(2.0 / 512));
    check_constant(&graph, "expert_backbones.0.bn1.weight", 1);
    check_constant(&graph, "expert_backbones.0.bn1.bias", 0);
    check_constant(&graph, "expert_backbones.0.bn1.running_mean", 0);
    check_constant(&graph, "expert_backbones.0.bn1.running_var", 1);
    check_uniform(&graph, "expert_backbones.0.linear.weight", sqrt(6.0 / (512 + 100)));
    check_constant(&graph, "expert_backbones.0.linear.bias", 0);
    check_uniform(&graph, "fusion_module.attention.in_proj_weight", sqrt(6.0 / (4 * 512)));
    check_constant(&graph, "fusion_module.attention.in_proj_bias", 0);
    check_uniform(&graph, "fusion_module.attention.out_proj.weight", 1 / sqrt(512));
    check_constant(&graph, "fusion_module.attention.out_proj.bias", 0);
    check_uniform(&graph, "fusion_module.ffn.0.weight", 1 / sqrt(512));
    check_uniform(&graph, "fusion_module.ffn.0.bias", 1 / sqrt(512));
    check_constant(&graph, "fusion_module.norms.1.weight", 1);
    check_constant(&graph, "fusion_module.norms.1.bias", 0);
    check_uniform(&graph, "global_head.weight", 1 / sqrt(512));
    check_uniform(&graph, "global_head.bias", 1 / sqrt(512));
    fx_graph_fini(&graph);
    build(&graph, "preact_resnext29_8x64d", "multiplicativeAddition", 1);
    check_normal(&graph, "expert_backbones.0.layer1.0.conv2.conv.weight", sqrt(2.0 / (512 * 9)));
    check_constant(&graph, "fusion_module.expert_weights", 1);
    fx_graph_fini(&graph);
}

/* Equal to the bit, or not in a single place of the first hundred. */
static void expect(const struct fx_graph *a, const char *name_a, uint64_t seed_a,
                   const struct fx_graph *b, const char *name_b, uint64_t seed_b, bool equal)
{
    int64_t n_a, n_b;
    float *va = values_of(a, name_a, seed_a, &n_a), *vb = values_of(b, name_b, seed_b, &n_b);
    int64_t n = n_a < n_b ? n_a : n_b;

    if (equal) {
        assert_int_equal(n_a, n_b);
        assert_memory_equal(va, vb, (size_t)n * sizeof *va);
    }
    for (int64_t i = 0; !equal && i < n && i < 100; i++)
        assert_true(va[i] / va[0] != vb[i] / vb[0] || i == 0);
    free(va);
    free(vb);
}

static void values_depend_on_nothing_else(void **state)
{
    static const char conv0[] = "expert_backbones.0.layer1.0.conv1.weight";
    static const char conv1[] = "expert_backbones.1.layer1.0.conv1.weight";
    static const char linear[] = "expert_backbones.1.linear.weight";
    struct fx_graph two, four, other, last;

    (void)state;
    build(&two, "resnet18:width=16", "multiplicative", 2);
    build(&four, "resnet18:width=16", "concatenation", 4);
    build(&other, "densenet121:growth=4;resnet18:width=16", NULL, 2);
    build(&last, "resnet18:width=16", NULL, 2);
    expect(&two, conv1, 1, &four, conv1, 1, true);
    expect(&two, conv1, 1, &other, conv1, 1, true);
    expect(&two, linear, 1, &last, linear, 1, true);
    expect(&two, conv0, 1, &two, conv1, 1, false);
    expect(&two, conv0, 1, &two, conv0, 2, false);
    expect(&two, conv0, 1, &two, conv0, 1ull << 32 | 1, false);
    expect(&two, conv0, 1, &two, "expert_backbones.0.layer1.0.conv2.weight", 1, false);
    expect(&two, "global_head.weight", 1, &four, "global_head.weight", 1, true);
    /* the head shares no draw with any module */
    expect(&two, "global_head.weight", 1, &two, "fusion_module.mlp.0.weight", 1, false);
    expect(&two, "global_head.bias", 1, &two, "fusion_module.mlp.0.bias", 1, false);
    fx_graph_fini(&two);
    fx_graph_fini(&four);
    fx_graph_fini(&other);
    fx_graph_fini(&last);
}

/* The values themselves are part of the interface: a seed names the same network in every version
 * and on every machine.  Computed by an independent Philox and Box-Muller in Python. */
static void a_seed_names_one_network(void **state)
{
    static const char name[] = "expert_backbones.0.conv1.weight";
    static const double known[] = { -0.0419663977, -0.0080059179, -0.0585370333, 0.0685452747 };
    struct fx_graph graph;
    int64_t n;
    float *v;

    (void)state;
    build(&graph, "resnet18", "multiplicative", 1);
    v = values_of(&graph, name, 42, &n);
    for (int i = 0; i < 4; i++)
        assert_float_equal(v[i], known[i], 1e-8);
    assert_float_equal(v[1727], -0.0607901812, 1e-8);
    free(v);
    v = values_of(&graph, "global_head.bias", 42, &n);
    assert_float_equal(v[0], 0.0092753307, 1e-8);
    assert_float_equal(v[99], 0.0437416211, 1e-8);
    free(v);
    fx_graph_fini(&graph);
}

static void check_values(const struct fx_graph *graph, const char *name, int period, int at,
                         float there, float elsewhere)
{
    int64_t n;
    float *v = values_of(graph, name, 1, &n);

    for (int64_t i = 0; i < n; i++)
        if (v[i] != (i % period == at ? there : elsewhere))
            fail_msg("%s[%d] is %g", name, (int)i, (double)v[i]);
    free(v);
}

/* Slots: each channel of the product is one expert's; what is not passed is neutral. */
static void norms_start_in_slots(void **state)
{
    struct fx_model_config config = { .arch = "resnet18:width=8,blocks=1-1",
                                      .fusion = "multiplicative",
                                      .n_experts = 3,
                                      .norms = FX_NORMS_SLOTS };
    struct fx_err err = { 0 };
    struct fx_graph graph;

    (void)state;
    build_config(&graph, config);
    check_values(&graph, "fusion_module.norms.1.weight", 3, 1, 1, 0);
    check_values(&graph, "fusion_module.norms.1.bias", 3, 1, 0, 1);
    fx_graph_fini(&graph);
    config.fusion = "multiplicativeShifted";
    build_config(&graph, config);
    check_values(&graph, "fusion_module.norms.2.weight", 3, 2, 1, 0);
    check_values(&graph, "fusion_module.norms.2.bias", 3, 2, 0, 0);
    fx_graph_fini(&graph);
    config.fusion = "concatenation";
    config.n_classes = 100;
    assert_int_equal(fx_model_build(&graph, &config, &err), FX_EUSAGE);
    assert_string_equal(err.msg, "norms slots: for fusions with a product; concatenation has none");
}

static void a_residual_head_starts_at_zero(void **state)
{
    struct fx_graph graph;

    (void)state;
    build_config(&graph, (struct fx_model_config){ .arch = "resnet18:width=8,blocks=1-1",
                                                   .fusion = "simpleAddition",
                                                   .n_experts = 2,
                                                   .fused = FX_FUSED_RESIDUAL });
    check_values(&graph, "global_head.weight", 1, 0, 0, 0);
    check_values(&graph, "global_head.bias", 1, 0, 0, 0);
    fx_graph_fini(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distributions_are_the_stated_ones),
        cmocka_unit_test(values_depend_on_nothing_else),
        cmocka_unit_test(a_seed_names_one_network),
        cmocka_unit_test(norms_start_in_slots),
        cmocka_unit_test(a_residual_head_starts_at_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
