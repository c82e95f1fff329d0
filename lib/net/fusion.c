/* The six fusion modules.  Features f_k become one vector of the same width D:
 *
 *   multiplicative          mlp(prod_k LN_k(f_k))
 *   multiplicativeAddition  mlp(prod_k LN_k(f_k) + sum_k softmax(w)_k LN_k(f_k))
 *   TransformerBase         ffn(mean over tokens of MHA(LN_k(f_k) as tokens))
 *   concatenation           mlp(concat_k LN_k(f_k))
 *   simpleAddition          mlp(sum_k softmax(w)_k f_k)
 *   multiplicativeShifted   mlp(prod_k (LN_k(f_k) + 1))
 *
 * mlp and ffn are Linear, ReLU, dropout, Linear.  A parameter of the module itself comes before
 * those of its children, as in a state_dict. */
#include "net/fusion.h"

#include "net/model.h"

#include <string.h>

enum { ATTENTION_HEADS = 8 };

static int width_of(const struct fx_builder *b, int x)
{
    return b->status == FX_OK ? b->graph->nodes[x].shape.c : 0;
}

/* LN_k(f_k) for every expert. */
static void normed(struct fx_builder *b, int n, const int *features, int *out)
{
    fx_builder_enter(b, "norms");
    for (int k = 0; k < n; k++) {
        char number[2] = { (char)('0' + k), '\0' };

        out[k] = fx_build_layernorm(b, number, features[k]);
    }
    fx_builder_leave(b);
}

/* Linear to D, ReLU, dropout, Linear to D. */
static int mlp(struct fx_builder *b, const char *name, int x, int width, double dropout)
{
    fx_builder_enter(b, "%s", name);
    x = fx_build_linear(b, "0", x, width, true, FX_LINEAR_DEFAULT);
    x = fx_build_dropout(b, x, dropout);
    x = fx_build_linear(b, "3", x, width, false, FX_LINEAR_DEFAULT);
    fx_builder_leave(b);
    return x;
}

/* The logits of the softmax over experts. */
static int expert_weights(struct fx_builder *b, int n)
{
    return fx_build_param(b, &(struct fx_param_spec){ .name = "expert_weights",
                                                      .kind = FX_PARAM_TRAINED,
                                                      .n_dims = 1,
                                                      .shape = { n },
                                                      .init = FX_INIT_ONE });
}

static int multiplicative(struct fx_builder *b, int n, const int *features, double dropout)
{
    int norms[FX_GRAPH_MAX_EXPERTS];

    normed(b, n, features, norms);
    return mlp(b, "mlp", fx_build_product(b, n, norms, 0), width_of(b, features[0]), dropout);
}

static int multiplicative_shifted(struct fx_builder *b, int n, const int *features, double dropout)
{
    int norms[FX_GRAPH_MAX_EXPERTS];

    normed(b, n, features, norms);
    return mlp(b, "mlp", fx_build_product(b, n, norms, 1), width_of(b, features[0]), dropout);
}

static int multiplicative_addition(struct fx_builder *b, int n, const int *features, double dropout)
{
    int weights = expert_weights(b, n);
    int norms[FX_GRAPH_MAX_EXPERTS];
    int product, sum;

    normed(b, n, features, norms);
    product = fx_build_product(b, n, norms, 0);
    sum = fx_build_weighted_sum(b, n, norms, weights);
    return mlp(b, "mlp", fx_build_add(b, product, sum, false), width_of(b, features[0]), dropout);
}

static int simple_addition(struct fx_builder *b, int n, const int *features, double dropout)
{
    int weights = expert_weights(b, n);
    int sum = fx_build_weighted_sum(b, n, features, weights);

    return mlp(b, "mlp", sum, width_of(b, features[0]), dropout);
}

static int concatenation(struct fx_builder *b, int n, const int *features, double dropout)
{
    int norms[FX_GRAPH_MAX_EXPERTS];

    normed(b, n, features, norms);
    return mlp(b, "mlp", fx_build_concat(b, n, norms), width_of(b, features[0]), dropout);
}

/* nn.MultiheadAttention of the tokens with themselves: its parameters carry its own names and
 * initial values (in_proj Xavier uniform, both biases 0). */
static int self_attention(struct fx_builder *b, int tokens, double dropout)
{
    int64_t width = width_of(b, tokens);
    int weight, bias, x;

    fx_builder_enter(b, "attention");
    weight = fx_build_param(b, &(struct fx_param_spec){ .name = "in_proj_weight",
                                                        .kind = FX_PARAM_TRAINED,
                                                        .n_dims = 2,
                                                        .shape = { 3 * width, width },
                                                        .init = FX_INIT_XAVIER_UNIFORM,
                                                        .fan_in = width,
                                                        .fan_out = 3 * width });
    bias = fx_build_param(b, &(struct fx_param_spec){ .name = "in_proj_bias",
                                                      .kind = FX_PARAM_TRAINED,
                                                      .n_dims = 1,
                                                      .shape = { 3 * width } });
    x = fx_build_linear_with(b, tokens, false, weight, bias);
    x = fx_build_attention(b, x, ATTENTION_HEADS, dropout);
    weight = fx_build_param(b, &(struct fx_param_spec){ .name = "out_proj.weight",
                                                        .kind = FX_PARAM_TRAINED,
                                                        .n_dims = 2,
                                                        .shape = { width, width },
                                                        .init = FX_INIT_UNIFORM_FAN_IN,
                                                        .fan_in = width,
                                                        .fan_out = width });
    bias = fx_build_param(b, &(struct fx_param_spec){ .name = "out_proj.bias",
                                                      .kind = FX_PARAM_TRAINED,
                                                      .n_dims = 1,
                                                      .shape = { width } });
    x = fx_build_linear_with(b, x, false, weight, bias);
    fx_builder_leave(b);
    return x;
}

static int transformer_base(struct fx_builder *b, int n, const int *features, double dropout)
{
    int norms[FX_GRAPH_MAX_EXPERTS];
    int x;

    normed(b, n, features, norms);
    x = self_attention(b, fx_build_stack(b, n, norms), dropout);
    return mlp(b, "ffn", fx_build_token_mean(b, x), width_of(b, features[0]), dropout);
}

static const struct fx_fusion fusions[] = {
    { "multiplicative", 1, multiplicative },
    { "multiplicativeAddition", 1, multiplicative_addition },
    { "TransformerBase", ATTENTION_HEADS, transformer_base },
    { "concatenation", 1, concatenation },
    { "simpleAddition", 1, simple_addition },
    { "multiplicativeShifted", 1, multiplicative_shifted },
};

const char *fx_fusion_name(int i)
{
    return i < (int)(sizeof fusions / sizeof *fusions) ? fusions[i].name : NULL;
}

enum fx_status fx_fusion_find(const char *name, const struct fx_fusion **fusion, struct fx_err *err)
{
    char names[FX_NAMES_BYTES];

    for (size_t i = 0; i < sizeof fusions / sizeof *fusions; i++) {
        *fusion = &fusions[i];
        if (strcmp(name, fusions[i].name) == 0)
            return FX_OK;
    }
    return fx_fail(err, FX_EUSAGE, "unknown fusion '%s' (there are: %s)", name,
                   fx_names_join(fx_fusion_name, ", ", names, sizeof names));
}
