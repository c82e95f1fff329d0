/* simpleAddition: mlp(sum_k softmax(expert_weights)_k f_k). */
#include "net/fusion_layers.h"

static int build(struct fx_builder *b, int n, const int *features, double dropout)
{
    int weights = fx_fusion_expert_weights(b, n);
    int sum = fx_build_weighted_sum(b, n, features, weights);

    return fx_fusion_mlp(b, "mlp", sum, fx_fusion_width(b, features[0]), dropout);
}

const struct fx_fusion_module fx_fusion_simple_addition = {
    .summary = "mlp of a sum of all f with learned weights",
    .width_divisor = 1,
    .recipe = { .lr_experts = 1e-4,
                .lr_fusion = 1e-3,
                .weight_decay = 1e-4,
                .label_smoothing = 0.1,
                .augment = FX_AUGMENT_BASELINE,
                .mixup_alpha = 0.2 },
    .build = build,
};
