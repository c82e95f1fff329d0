/* multiplicativeAddition: mlp(prod_k LN_k(f_k) + sum_k softmax(expert_weights)_k LN_k(f_k)). */
#include "net/fusion_layers.h"

static int build(struct fx_builder *b, int n, const int *features, double dropout)
{
    int weights = fx_fusion_expert_weights(b, n);
    int norms[FX_GRAPH_MAX_EXPERTS];
    int product, sum;

    fx_fusion_norms(b, n, features, norms);
    product = fx_build_product(b, n, norms, 0);
    sum = fx_build_weighted_sum(b, n, norms, weights);
    return fx_fusion_mlp(b, "mlp", fx_build_add(b, product, sum, false),
                         fx_fusion_width(b, features[0]), dropout);
}

const struct fx_fusion_module fx_fusion_multiplicative_addition = {
    .summary = "mlp of the product of all LN(f) plus a weighted sum",
    .width_divisor = 1,
    .has_product = true,
    .recipe = { .lr_experts = 1e-4,
                .lr_fusion = 1e-3,
                .weight_decay = 1e-4,
                .label_smoothing = 0.08,
                .augment = FX_AUGMENT_STRONG,
                .mixup_alpha = 0.3 },
    .build = build,
};
