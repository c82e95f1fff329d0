/* multiplicativeShifted: mlp(prod_k (LN_k(f_k) + 1)). */
#include "net/fusion_layers.h"

static int build(struct fx_builder *b, int n, const int *features, double dropout)
{
    int norms[FX_GRAPH_MAX_EXPERTS];

    fx_fusion_norms(b, n, features, norms);
    return fx_fusion_mlp(b, "mlp", fx_build_product(b, n, norms, 1),
                         fx_fusion_width(b, features[0]), dropout);
}

const struct fx_fusion_module fx_fusion_multiplicative_shifted = {
    .summary = "mlp of the product of all LN(f) + 1",
    .width_divisor = 1,
    .has_product = true,
    .recipe = { .lr_experts = 1e-4,
                .lr_fusion = 1e-3,
                .weight_decay = 1e-4,
                .label_smoothing = 0.1,
                .augment = FX_AUGMENT_BASELINE,
                .mixup_alpha = 0.2 },
    .build = build,
};
