/* concatenation: mlp(concat_k LN_k(f_k)). */
#include "net/fusion_layers.h"

static int build(struct fx_builder *b, int n, const int *features, double dropout)
{
    int norms[FX_GRAPH_MAX_EXPERTS];

    fx_fusion_norms(b, n, features, norms);
    return fx_fusion_mlp(b, "mlp", fx_build_concat(b, n, norms), fx_fusion_width(b, features[0]),
                         dropout);
}

const struct fx_fusion_module fx_fusion_concatenation = {
    .summary = "mlp of all LN(f) side by side",
    .width_divisor = 1,
    .recipe = { .lr_experts = 1e-4,
                .lr_fusion = 1e-3,
                .weight_decay = 1e-4,
                .label_smoothing = 0.08,
                .augment = FX_AUGMENT_STRONG,
                .mixup_alpha = 0.3 },
    .build = build,
};
