/* A whole run as one graph: K expert lanes on one input, the fusion module, the global head. */
#include "net/model.h"

#include "net/arch.h"
#include "net/builder.h"
#include "net/fusion.h"

enum { IMAGE_CHANNELS = 3, IMAGE_SIDE = 32 };
static const double fusion_dropout_default = 0.2;

static enum fx_status check_counts(const struct fx_model_config *config, struct fx_err *err)
{
    int n_listed = fx_arch_count(config->arch);

    if (config->n_experts < 1 || config->n_experts > FX_GRAPH_MAX_EXPERTS)
        return fx_fail(err, FX_EUSAGE, "%d experts: 1 to %d are possible", config->n_experts,
                       FX_GRAPH_MAX_EXPERTS);
    if (config->n_classes < 2 || config->n_classes > 256)
        return fx_fail(err, FX_EUSAGE, "%d classes: 2 to 256 are possible", config->n_classes);
    if (n_listed != 1 && n_listed != config->n_experts)
        return fx_fail(err, FX_EUSAGE, "architecture '%s': lists %d for %d experts", config->arch,
                       n_listed, config->n_experts);
    return FX_OK;
}

static enum fx_status build_expert(struct fx_builder *b, int k,
                                   const struct fx_model_config *config, struct fx_err *err)
{
    const struct fx_arch *arch;
    struct fx_arch_value values[FX_ARCH_MAX_KEYS];
    int maps;
    size_t n = 0;
    const char *text = fx_arch_of_expert(config->arch, k, &n);
    double dropout = config->expert_dropout;

    FX_TRY(fx_arch_parse(text, n, &arch, values, err));
    if (config->freeze || config->attack)
        dropout = 0;
    else if (dropout < 0)
        dropout = arch->network->dropout;
    fx_builder_lane(b, k);
    b->is_fixed = config->freeze || config->attack;
    fx_builder_component(b, FX_GROUP_EXPERTS, 0);
    fx_builder_enter(b, "expert_backbones.%d", k);
    maps = arch->network->build(b, b->graph->input, dropout, values);
    b->graph->features[k] = fx_build_globalpool(b, maps);
    b->graph->logits[k] = fx_build_linear(b, arch->network->classifier, b->graph->features[k],
                                          config->n_classes, false, FX_LINEAR_XAVIER);
    fx_builder_leave(b);
    b->is_fixed = false;
    return b->status;
}

int fx_model_width(const struct fx_graph *graph)
{
    int width = 0;

    for (int k = 0; k < graph->n_experts; k++)
        if (graph->nodes[graph->features[k]].shape.c > width)
            width = graph->nodes[graph->features[k]].shape.c;
    return width;
}

static enum fx_status check_width(int width, const struct fx_fusion *fusion, struct fx_err *err)
{
    if (width % fusion->module->width_divisor == 0)
        return FX_OK;
    return fx_fail(err, FX_EUSAGE,
                   "fusion %s: needs a feature width that is a multiple of %d, not %d",
                   fusion->name, fusion->module->width_divisor, width);
}

/* Every fusion mixes the experts' features element by element, or stacks them: one width D, that of
 * the widest.  The others pass a Linear, adapters.k, which belongs to the fusion module: an expert
 * stays the network that it was, and its lane what it is without a fusion. */
static void adapt_features(struct fx_builder *b, int width, int *features)
{
    const struct fx_graph *graph = b->graph;

    fx_builder_enter(b, "adapters");
    for (int k = 0; k < graph->n_experts; k++) {
        char number[2] = { (char)('0' + k), '\0' };

        features[k] = graph->features[k];
        if (graph->nodes[features[k]].shape.c != width)
            features[k] = fx_build_linear(b, number, features[k], width, false, FX_LINEAR_DEFAULT);
    }
    fx_builder_leave(b);
}

/* norms.k.weight[c] = 1 where c mod K = k, else 0; norms.k.bias so that x + shift is 1 where the
 * weight is 0. */
static void start_in_slots(struct fx_graph *graph, const struct fx_node *product)
{
    for (int k = 0; k < product->n_inputs; k++) {
        const struct fx_node *norm = &graph->nodes[product->inputs[k]];
        struct fx_param *weight = &graph->params[norm->params[0]];
        struct fx_param *bias = &graph->params[norm->params[1]];

        weight->init = FX_INIT_SLOT;
        bias->init = product->shift > 0 ? FX_INIT_ZERO : FX_INIT_OTHER_SLOTS;
        weight->slot = bias->slot = k;
        weight->n_slots = bias->n_slots = product->n_inputs;
    }
}

static enum fx_status set_norm_start(struct fx_graph *graph, const struct fx_fusion *fusion,
                                     enum fx_norm_start norms, struct fx_err *err)
{
    if (norms == FX_NORMS_ONES)
        return FX_OK;
    if (!fusion->module->has_product)
        return fx_fail(err, FX_EUSAGE, "norms slots: for fusions with a product; %s has none",
                       fusion->name);
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i].kind == FX_NODE_PRODUCT)
            start_in_slots(graph, &graph->nodes[i]);
    return FX_OK;
}

static enum fx_status build_fusion(struct fx_builder *b, const struct fx_model_config *config,
                                   struct fx_err *err)
{
    struct fx_graph *graph = b->graph;
    const struct fx_fusion *fusion;
    double dropout = config->fusion_dropout < 0 ? fusion_dropout_default : config->fusion_dropout;
    int features[FX_GRAPH_MAX_EXPERTS], width = fx_model_width(graph), fused;
    bool is_residual;

    if (config->attack)
        dropout = 0;
    b->is_fixed = config->attack;
    FX_TRY(fx_fusion_find(config->fusion, &fusion, err));
    FX_TRY(check_width(width, fusion, err));
    fx_builder_lane(b, FX_LANE_FUSION);
    fx_builder_component(b, FX_GROUP_FUSION, 0);
    fx_builder_enter(b, "fusion_module");
    adapt_features(b, width, features);
    fused = fusion->module->build(b, graph->n_experts, features, dropout);
    fx_builder_leave(b);
    fx_builder_component(b, FX_GROUP_HEAD, FX_HEAD_NUMBER);
    is_residual = config->fused == FX_FUSED_RESIDUAL;
    graph->fused = fx_build_linear(b, "global_head", fused, config->n_classes, false,
                                   is_residual ? FX_LINEAR_ZERO : FX_LINEAR_DEFAULT);
    if (is_residual)
        graph->fused = fx_build_residual(b, graph->fused, graph->n_experts, graph->logits);
    FX_TRY(b->status);
    return set_norm_start(graph, fusion, config->norms, err);
}

enum fx_status fx_model_build(struct fx_graph *graph, const struct fx_model_config *config,
                              struct fx_err *err)
{
    struct fx_value_shape image = { 1, IMAGE_CHANNELS, IMAGE_SIDE, IMAGE_SIDE };
    enum fx_status status;
    struct fx_builder b;

    *graph = (struct fx_graph){ 0 };
    fx_builder_init(&b, graph, err);
    FX_TRY(check_counts(config, err));
    graph->n_experts = config->n_experts;
    graph->n_classes = config->n_classes;
    graph->input_gradients = config->attack;
    graph->input = fx_build_input(&b, image);
    status = b.status;
    for (int k = 0; k < config->n_experts && status == FX_OK; k++)
        status = build_expert(&b, k, config, err);
    if (status == FX_OK && config->fusion)
        status = build_fusion(&b, config, err);
    if (status != FX_OK)
        fx_graph_fini(graph);
    return status;
}
