/* The builder's nodes: one function a kind, with the inference and the checks of its shape. */
#include "net/builder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const float norm_eps = 1e-5f;          /* PyTorch's default for BatchNorm and LayerNorm */
static const float batchnorm_momentum = 0.1f; /* likewise */

/* Appends the node; its lane is the builder's. */
static int append(struct fx_builder *b, struct fx_node node)
{
    struct fx_graph *graph = b->graph;

    if (b->status != FX_OK)
        return -1;
    if (fx_shape_elements(node.shape) <= 0)
        return fx_builder_fail(b, FX_EUSAGE, "the map has shrunk to nothing");
    if (graph->n_nodes == graph->cap_nodes) {
        int cap = graph->cap_nodes ? 2 * graph->cap_nodes : 64;
        struct fx_node *nodes = realloc(graph->nodes, (size_t)cap * sizeof *nodes);

        if (!nodes)
            return fx_builder_fail(b, FX_EFAIL, "out of memory for the network's nodes");
        graph->nodes = nodes;
        graph->cap_nodes = cap;
    }
    node.lane = b->lane;
    graph->nodes[graph->n_nodes] = node;
    return graph->n_nodes++;
}

/* The shape of node x; zeros after a failure. */
static struct fx_value_shape shape_of(const struct fx_builder *b, int x)
{
    if (b->status != FX_OK)
        return (struct fx_value_shape){ 0 };
    return b->graph->nodes[x].shape;
}

static struct fx_node unary(enum fx_node_kind kind, int x, struct fx_value_shape shape)
{
    return (struct fx_node){ .kind = kind, .n_inputs = 1, .inputs = { x }, .shape = shape };
}

/* A node of n inputs with the shape of the first. */
static struct fx_node nary(const struct fx_builder *b, enum fx_node_kind kind, int n, const int *xs)
{
    struct fx_node node = { .kind = kind, .n_inputs = n, .shape = shape_of(b, xs[0]) };

    memcpy(node.inputs, xs, (size_t)n * sizeof *xs);
    return node;
}

static bool same_shape(struct fx_value_shape a, struct fx_value_shape b)
{
    return a.tokens == b.tokens && a.c == b.c && a.h == b.h && a.w == b.w;
}

/* Between 1 and FX_NODE_MAX_INPUTS inputs, all of one shape. */
static bool check_equal(struct fx_builder *b, const char *what, int n, const int *xs)
{
    if (b->status != FX_OK)
        return false;
    if (n < 1 || n > FX_NODE_MAX_INPUTS) {
        fx_builder_fail(b, FX_EUSAGE, "%s of %d values: 1 to %d are possible", what, n,
                        FX_NODE_MAX_INPUTS);
        return false;
    }
    for (int i = 1; i < n; i++) {
        struct fx_value_shape first = shape_of(b, xs[0]), other = shape_of(b, xs[i]);

        if (!same_shape(first, other)) {
            fx_builder_fail(b, FX_EUSAGE, "%s of values of different shape: %dx%dx%d and %dx%dx%d",
                            what, first.c, first.h, first.w, other.c, other.h, other.w);
            return false;
        }
    }
    return true;
}

static bool check_probability(struct fx_builder *b, double p)
{
    if (p >= 0 && p < 1)
        return true;
    fx_builder_fail(b, FX_EUSAGE, "dropout %g: must be at least 0 and below 1", p);
    return false;
}

int fx_build_input(struct fx_builder *b, struct fx_value_shape shape)
{
    return append(b, (struct fx_node){ .kind = FX_NODE_INPUT, .shape = shape });
}

/* "NAME.what" as a parameter of one dimension. */
static int vector_param(struct fx_builder *b, const char *name, const char *what,
                        enum fx_param_kind kind, int64_t n, enum fx_param_init init)
{
    char text[FX_BUILDER_PATH_BYTES];
    struct fx_param_spec spec = {
        .name = text, .kind = kind, .n_dims = 1, .shape = { n }, .init = init
    };

    snprintf(text, sizeof text, "%s.%s", name, what);
    return fx_build_param(b, &spec);
}

int fx_build_conv(struct fx_builder *b, const char *name, int x, int c_out, int kernel, int stride,
                  int groups)
{
    struct fx_value_shape in = shape_of(b, x);
    struct fx_node node = unary(FX_NODE_CONV2D, x, in);
    char weight[FX_BUILDER_PATH_BYTES];
    int64_t area = (int64_t)kernel * kernel;

    if (b->status != FX_OK)
        return -1;
    if (kernel < 1 || stride < 1 || groups < 1 || c_out < 1 || in.c % groups || c_out % groups)
        return fx_builder_fail(b, FX_EUSAGE, "%s: %d groups do not divide %d and %d channels", name,
                               groups, in.c, c_out);
    node.kernel = kernel;
    node.stride = stride;
    node.pad = kernel / 2;
    node.groups = groups;
    node.shape.c = c_out;
    node.shape.h = (in.h + 2 * node.pad - kernel) / stride + 1;
    node.shape.w = (in.w + 2 * node.pad - kernel) / stride + 1;
    node.n_params = 1;
    snprintf(weight, sizeof weight, "%s.weight", name);
    node.params[0] = fx_build_param(
        b, &(struct fx_param_spec){ .name = weight,
                                    .kind = FX_PARAM_TRAINED,
                                    .n_dims = 4,
                                    .shape = { c_out, in.c / groups, kernel, kernel },
                                    .init = FX_INIT_KAIMING_NORMAL_FAN_OUT,
                                    .fan_in = in.c / groups * area,
                                    .fan_out = c_out * area });
    return append(b, node);
}

int fx_build_batchnorm(struct fx_builder *b, const char *name, int x, bool relu)
{
    struct fx_node node = unary(FX_NODE_BATCHNORM, x, shape_of(b, x));
    int64_t c = node.shape.c;
    char counter[FX_BUILDER_PATH_BYTES];

    node.relu = relu;
    node.eps = norm_eps;
    node.momentum = batchnorm_momentum;
    node.n_params = 4;
    node.params[0] = vector_param(b, name, "weight", FX_PARAM_TRAINED, c, FX_INIT_ONE);
    node.params[1] = vector_param(b, name, "bias", FX_PARAM_TRAINED, c, FX_INIT_ZERO);
    node.params[2] = vector_param(b, name, "running_mean", FX_PARAM_RUNNING_MEAN, c, FX_INIT_ZERO);
    node.params[3] = vector_param(b, name, "running_var", FX_PARAM_RUNNING_VAR, c, FX_INIT_ONE);
    snprintf(counter, sizeof counter, "%s.num_batches_tracked", name);
    (void)fx_build_param(b, &(struct fx_param_spec){ .name = counter, .kind = FX_PARAM_COUNTER });
    return append(b, node);
}

int fx_build_add(struct fx_builder *b, int x, int y, bool relu)
{
    int xs[2] = { x, y };
    struct fx_node node;

    if (!check_equal(b, "sum", 2, xs))
        return -1;
    node = nary(b, FX_NODE_ADD, 2, xs);
    node.relu = relu;
    return append(b, node);
}

int fx_build_concat(struct fx_builder *b, int n, const int *xs)
{
    struct fx_node node;

    if (b->status != FX_OK)
        return -1;
    if (n < 1 || n > FX_NODE_MAX_INPUTS)
        return fx_builder_fail(b, FX_EUSAGE, "concatenation of %d values: 1 to %d are possible", n,
                               FX_NODE_MAX_INPUTS);
    node = nary(b, FX_NODE_CONCAT, n, xs);
    for (int i = 1; i < n; i++) {
        struct fx_value_shape first = shape_of(b, xs[0]), other = shape_of(b, xs[i]);

        if (first.tokens != other.tokens || first.h != other.h || first.w != other.w)
            return fx_builder_fail(b, FX_EUSAGE, "concatenation of %dx%d and %dx%d maps", first.h,
                                   first.w, other.h, other.w);
        node.shape.c += other.c;
    }
    return append(b, node);
}

int fx_build_avgpool2(struct fx_builder *b, int x)
{
    struct fx_node node = unary(FX_NODE_AVGPOOL2, x, shape_of(b, x));

    node.shape.h /= 2;
    node.shape.w /= 2;
    return append(b, node);
}

int fx_build_globalpool(struct fx_builder *b, int x)
{
    struct fx_node node = unary(FX_NODE_GLOBALPOOL, x, shape_of(b, x));

    node.shape.h = 1;
    node.shape.w = 1;
    return append(b, node);
}

int fx_build_dropout(struct fx_builder *b, int x, double p)
{
    struct fx_node node = unary(FX_NODE_DROPOUT, x, shape_of(b, x));

    if (b->status != FX_OK || !check_probability(b, p))
        return -1;
    if (p == 0)
        return x;
    node.p = (float)p;
    node.dropout_layer = b->next_dropout++;
    return append(b, node);
}

int fx_build_linear(struct fx_builder *b, const char *name, int x, int c_out, bool relu,
                    enum fx_linear_init init)
{
    static const enum fx_param_init weights[] = { [FX_LINEAR_XAVIER] = FX_INIT_XAVIER_UNIFORM,
                                                  [FX_LINEAR_DEFAULT] = FX_INIT_UNIFORM_FAN_IN,
                                                  [FX_LINEAR_ZERO] = FX_INIT_ZERO };
    int64_t c_in = shape_of(b, x).c;
    char text[FX_BUILDER_PATH_BYTES];
    struct fx_param_spec spec = { .name = text,
                                  .kind = FX_PARAM_TRAINED,
                                  .n_dims = 2,
                                  .shape = { c_out, c_in },
                                  .init = weights[init],
                                  .fan_in = c_in,
                                  .fan_out = c_out };
    int weight, bias;

    snprintf(text, sizeof text, "%s.weight", name);
    weight = fx_build_param(b, &spec);
    snprintf(text, sizeof text, "%s.bias", name);
    spec.n_dims = 1;
    spec.init = init == FX_LINEAR_DEFAULT ? FX_INIT_UNIFORM_FAN_IN : FX_INIT_ZERO;
    bias = fx_build_param(b, &spec);
    return fx_build_linear_with(b, x, relu, weight, bias);
}

int fx_build_linear_with(struct fx_builder *b, int x, bool relu, int weight, int bias)
{
    struct fx_node node = unary(FX_NODE_LINEAR, x, shape_of(b, x));

    if (b->status != FX_OK)
        return -1;
    if (node.shape.h != 1 || node.shape.w != 1)
        return fx_builder_fail(b, FX_EUSAGE, "linear layer on a %dx%d map", node.shape.h,
                               node.shape.w);
    node.relu = relu;
    node.n_params = 2;
    node.params[0] = weight;
    node.params[1] = bias;
    node.shape.c = (int)b->graph->params[weight].shape[0];
    return append(b, node);
}

int fx_build_layernorm(struct fx_builder *b, const char *name, int x)
{
    struct fx_node node = unary(FX_NODE_LAYERNORM, x, shape_of(b, x));

    node.eps = norm_eps;
    node.n_params = 2;
    node.params[0] = vector_param(b, name, "weight", FX_PARAM_TRAINED, node.shape.c, FX_INIT_ONE);
    node.params[1] = vector_param(b, name, "bias", FX_PARAM_TRAINED, node.shape.c, FX_INIT_ZERO);
    return append(b, node);
}

int fx_build_product(struct fx_builder *b, int n, const int *xs, double shift)
{
    struct fx_node node;

    if (!check_equal(b, "product", n, xs))
        return -1;
    node = nary(b, FX_NODE_PRODUCT, n, xs);
    node.shift = (float)shift;
    return append(b, node);
}

int fx_build_weighted_sum(struct fx_builder *b, int n, const int *xs, int weights)
{
    struct fx_node node;

    if (!check_equal(b, "weighted sum", n, xs))
        return -1;
    node = nary(b, FX_NODE_WEIGHTED_SUM, n, xs);
    node.n_params = 1;
    node.params[0] = weights;
    return append(b, node);
}

int fx_build_gated_sum(struct fx_builder *b, int n, const int *xs, int gate)
{
    struct fx_value_shape logits = shape_of(b, gate);
    struct fx_node node;

    if (!check_equal(b, "gated sum", n, xs))
        return -1;
    if (n == FX_NODE_MAX_INPUTS || !same_shape(logits, (struct fx_value_shape){ 1, n, 1, 1 }))
        return fx_builder_fail(b, FX_EUSAGE, "gated sum of %d values: a gate of %d logits", n,
                               logits.c);
    node = nary(b, FX_NODE_GATED_SUM, n, xs);
    node.inputs[node.n_inputs++] = gate;
    return append(b, node);
}

int fx_build_stack(struct fx_builder *b, int n, const int *xs)
{
    struct fx_node node;

    if (!check_equal(b, "stack", n, xs))
        return -1;
    node = nary(b, FX_NODE_STACK, n, xs);
    node.shape.tokens = n;
    return append(b, node);
}

int fx_build_attention(struct fx_builder *b, int qkv, int heads, double p)
{
    struct fx_node node = unary(FX_NODE_ATTENTION, qkv, shape_of(b, qkv));

    if (b->status != FX_OK || !check_probability(b, p))
        return -1;
    if (node.shape.c % (3 * heads) != 0)
        return fx_builder_fail(b, FX_EUSAGE, "%d attention heads do not divide a width of %d",
                               heads, node.shape.c / 3);
    node.shape.c /= 3;
    node.heads = heads;
    node.p = (float)p;
    if (p > 0)
        node.dropout_layer = b->next_dropout++;
    return append(b, node);
}

int fx_build_token_mean(struct fx_builder *b, int x)
{
    struct fx_node node = unary(FX_NODE_TOKEN_MEAN, x, shape_of(b, x));

    node.shape.tokens = 1;
    return append(b, node);
}

int fx_build_residual(struct fx_builder *b, int x, int n, const int *xs)
{
    int inputs[FX_NODE_MAX_INPUTS] = { x };

    if (b->status != FX_OK)
        return -1;
    if (n < 1 || n >= FX_NODE_MAX_INPUTS)
        return fx_builder_fail(b, FX_EUSAGE, "residual of %d values: 1 to %d are possible", n,
                               FX_NODE_MAX_INPUTS - 1);
    for (int i = 0; i < n; i++)
        inputs[i + 1] = xs[i];
    if (!check_equal(b, "residual", n + 1, inputs))
        return -1;
    return append(b, nary(b, FX_NODE_RESIDUAL, n + 1, inputs));
}
