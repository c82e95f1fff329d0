/* Layers that fusion modules share. */
#include "net/fusion_layers.h"

int fx_fusion_width(const struct fx_builder *b, int features)
{
    return b->status == FX_OK ? b->graph->nodes[features].shape.c : 0;
}

void fx_fusion_norms(struct fx_builder *b, int n_experts, const int *features, int *out)
{
    fx_builder_enter(b, "norms");
    for (int k = 0; k < n_experts; k++) {
        char number[2] = { (char)('0' + k), '\0' };

        out[k] = fx_build_layernorm(b, number, features[k]);
    }
    fx_builder_leave(b);
}

int fx_fusion_mlp(struct fx_builder *b, const char *name, int x, int width, double dropout)
{
    fx_builder_enter(b, "%s", name);
    x = fx_build_linear(b, "0", x, width, true, FX_LINEAR_DEFAULT);
    x = fx_build_dropout(b, x, dropout);
    x = fx_build_linear(b, "3", x, width, false, FX_LINEAR_DEFAULT);
    fx_builder_leave(b);
    return x;
}

int fx_fusion_expert_weights(struct fx_builder *b, int n_experts)
{
    return fx_build_param(b, &(struct fx_param_spec){ .name = "expert_weights",
                                                      .kind = FX_PARAM_TRAINED,
                                                      .n_dims = 1,
                                                      .shape = { n_experts },
                                                      .init = FX_INIT_ONE });
}
