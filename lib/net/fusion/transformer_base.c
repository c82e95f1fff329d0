/* TransformerBase: ffn(mean over tokens of MHA(LN_k(f_k) as tokens)). */
#include "net/fusion_layers.h"

enum { ATTENTION_HEADS = 8 };

/* nn.MultiheadAttention of the tokens with themselves: its parameters carry its own names and
 * initial values (in_proj Xavier uniform, both biases 0). */
static int self_attention(struct fx_builder *b, int tokens, double dropout)
{
    int64_t width = fx_fusion_width(b, tokens);
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

static int build(struct fx_builder *b, int n, const int *features, double dropout)
{
    int norms[FX_GRAPH_MAX_EXPERTS];
    int x;

    fx_fusion_norms(b, n, features, norms);
    x = self_attention(b, fx_build_stack(b, n, norms), dropout);
    return fx_fusion_mlp(b, "ffn", fx_build_token_mean(b, x), fx_fusion_width(b, features[0]),
                         dropout);
}

const struct fx_fusion_module fx_fusion_transformer_base = {
    .summary = "mlp of the mean of an attention over all LN(f)",
    .width_divisor = ATTENTION_HEADS,
    .recipe = { .lr_experts = 5e-5,
                .lr_fusion = 2e-4,
                .weight_decay = 5e-4,
                .label_smoothing = 0.05,
                .augment = FX_AUGMENT_SOTA,
                .mixup_alpha = 0.2,
                .lr_experts_wide = 0.8 },
    .build = build,
};
