/* The shape table: what every node of a model makes and costs, printed without training. */
#include "net/model.h"

#include <inttypes.h>
#include <string.h>

static const char *const kind_names[] = {
    [FX_NODE_INPUT] = "input",           [FX_NODE_CONV2D] = "conv",
    [FX_NODE_BATCHNORM] = "batchnorm",   [FX_NODE_ADD] = "add",
    [FX_NODE_CONCAT] = "concat",         [FX_NODE_AVGPOOL2] = "avgpool",
    [FX_NODE_GLOBALPOOL] = "globalpool", [FX_NODE_DROPOUT] = "dropout",
    [FX_NODE_LINEAR] = "linear",         [FX_NODE_LAYERNORM] = "layernorm",
    [FX_NODE_PRODUCT] = "product",       [FX_NODE_WEIGHTED_SUM] = "weightedsum",
    [FX_NODE_GATED_SUM] = "gatedsum",    [FX_NODE_STACK] = "stack",
    [FX_NODE_ATTENTION] = "attention",   [FX_NODE_TOKEN_MEAN] = "tokenmean",
    [FX_NODE_RESIDUAL] = "residual",
};

/* One multiply-accumulate for every weight and every output position that it serves. */
static int64_t node_macs(const struct fx_graph *graph, const struct fx_node *node)
{
    int64_t rows = (int64_t)node->shape.tokens * node->shape.h * node->shape.w;

    switch (node->kind) {
    case FX_NODE_CONV2D:
    case FX_NODE_LINEAR:
        return graph->params[node->params[0]].n_elements * rows;
    case FX_NODE_ATTENTION: /* q k^T, then the weights times v */
        return 2 * rows * rows * node->shape.c;
    default:
        return 0;
    }
}

static int64_t node_parameters(const struct fx_graph *graph, const struct fx_node *node)
{
    int64_t n = 0;

    for (int i = 0; i < node->n_params; i++)
        if (fx_param_is_weight(&graph->params[node->params[i]]))
            n += graph->params[node->params[i]].n_elements;
    return n;
}

static int64_t node_bytes(const struct fx_node *node)
{
    return fx_shape_elements(node->shape) * (int64_t)sizeof(float);
}

void fx_model_measure(const struct fx_graph *graph, int lane, struct fx_model_size *size)
{
    *size = (struct fx_model_size){ 0 };
    for (int i = 0; i < graph->n_params; i++) {
        const struct fx_param *param = &graph->params[i];

        if (lane != FX_LANE_ALL && param->lane != lane)
            continue;
        size->entries++;
        if (fx_param_is_weight(param))
            size->parameters += param->n_elements;
    }
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct fx_node *node = &graph->nodes[i];

        if (lane != FX_LANE_ALL && node->lane != lane)
            continue;
        size->macs += node_macs(graph, node);
        size->bytes += node_bytes(node);
    }
}

/* "64x32x32", "512", or "4 x 512" for tokens. */
static void shape_text(struct fx_value_shape s, char *buf, size_t n)
{
    if (s.h == 1 && s.w == 1 && s.tokens == 1)
        snprintf(buf, n, "%d", s.c);
    else if (s.h == 1 && s.w == 1)
        snprintf(buf, n, "%d x %d", s.tokens, s.c);
    else
        snprintf(buf, n, "%dx%dx%d", s.c, s.h, s.w);
}

/* "conv 3x3/2 g8" */
static void kind_text(const struct fx_node *node, char *buf, size_t n)
{
    int used = snprintf(buf, n, "%s", kind_names[node->kind]);

    if (node->kind == FX_NODE_CONV2D)
        used += snprintf(buf + used, n - (size_t)used, " %dx%d/%d", node->kernel, node->kernel,
                         node->stride);
    if (node->kind == FX_NODE_CONV2D && node->groups > 1)
        used += snprintf(buf + used, n - (size_t)used, " g%d", node->groups);
    if (node->relu)
        snprintf(buf + used, n - (size_t)used, "+relu");
}

static void lane_text(int lane, char *buf, size_t n)
{
    if (lane == FX_LANE_FUSION)
        snprintf(buf, n, "fusion");
    else
        snprintf(buf, n, "%d", lane);
}

/* The module that owns the node's first parameter: its name without the last part. */
static int module_length(const struct fx_graph *graph, const struct fx_node *node,
                         const char **name)
{
    const char *dot;

    *name = node->n_params ? graph->params[node->params[0]].name : "-";
    dot = strrchr(*name, '.');
    return dot ? (int)(dot - *name) : (int)strlen(*name);
}

static void print_node(const struct fx_graph *graph, int number, FILE *out)
{
    const struct fx_node *node = &graph->nodes[number];
    char lane[16], kind[32], shape[32];
    const char *name;
    int length = module_length(graph, node, &name);

    lane_text(node->lane, lane, sizeof lane);
    kind_text(node, kind, sizeof kind);
    shape_text(node->shape, shape, sizeof shape);
    fprintf(out, "%5d  %-6s  %-15s  %-72.*s  %12s  %10" PRId64 "  %12" PRId64 "  %9" PRId64 "\n",
            number, lane, kind, length, name, shape, node_parameters(graph, node),
            node_macs(graph, node), node_bytes(node));
}

static void print_sum(const struct fx_graph *graph, int lane, const char *what, FILE *out)
{
    struct fx_model_size size;

    fx_model_measure(graph, lane, &size);
    fprintf(out,
            "%s: %" PRId64 " parameters in %" PRId64 " entries, %.1f MMAC, %" PRId64 " bytes\n",
            what, size.parameters, size.entries, (double)size.macs / 1e6, size.bytes);
}

enum fx_status fx_model_print_shapes(const struct fx_graph *graph, FILE *out, struct fx_err *err)
{
    fprintf(out, "%5s  %-6s  %-15s  %-72s  %12s  %10s  %12s  %9s\n", "node", "lane", "kind",
            "module", "output", "parameters", "MACs", "bytes");
    for (int i = 0; i < graph->n_nodes; i++)
        print_node(graph, i, out);
    for (int k = 0; k < graph->n_experts; k++) {
        char what[32];

        snprintf(what, sizeof what, "expert %d", k);
        print_sum(graph, k, what, out);
    }
    if (graph->fused >= 0)
        print_sum(graph, FX_LANE_FUSION, "fusion and head", out);
    print_sum(graph, FX_LANE_ALL, "model", out);
    if (ferror(out))
        return fx_fail_errno(err, "shape table");
    return FX_OK;
}
