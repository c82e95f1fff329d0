/* multiplicative: mlp(prod_k LN_k(f_k)). */
#include "net/fusion_layers.h"

static int build(struct fx_builder *b, int n, const int *features, double dropout)
{
    int norms[FX_GRAPH_MAX_EXPERTS];

    fx_fusion_norms(b, n, features, norms);
    return fx_fusion_mlp(b, "mlp", fx_build_product(b, n, norms, 0),
                         fx_fusion_width(b, features[0]), dropout);
}

const struct fx_fusion_module fx_fusion_multiplicative = {
    .summary = "mlp of the product of all LN(f)",
    .width_divisor = 1,
    .has_product = true,
    .recipe = { .lr_experts = 1e-4,
                .lr_fusion = 5e-4,
                .weight_decay = 1e-4,
                .label_smoothing = 0.1,
                .augment = FX_AUGMENT_BASELINE,
                .mixup_alpha = 0.2,
                .lr_experts_narrow = 1.1 },
    .build = build,
};
