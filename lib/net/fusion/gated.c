/* gated: sum_k w_k f_k with w = softmax(gate([f_1; ..; f_K])), weights of each image. */
#include "net/fusion_layers.h"

static int build(struct fx_builder *b, int n, const int *features, double dropout)
{
    int joined = fx_build_concat(b, n, features);

    (void)dropout; /* there is no hidden layer */
    return fx_build_gated_sum(b, n, features,
                              fx_build_linear(b, "gate", joined, n, false, FX_LINEAR_DEFAULT));
}

const struct fx_fusion_module fx_fusion_gated = {
    .summary = "sum of all f with weights that a gate reads from them",
    .width_divisor = 1,
    .recipe = { .lr_experts = 1e-4,
                .lr_fusion = 1e-3,
                .weight_decay = 1e-4,
                .label_smoothing = 0.1,
                .augment = FX_AUGMENT_BASELINE,
                .mixup_alpha = 0.2 },
    .build = build,
};
