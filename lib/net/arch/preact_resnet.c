/* ResNet of pre-activation basic blocks for 32x32 images.
 * Source: He et al., "Identity Mappings in Deep Residual Networks" (ECCV 2016). */
#include "net/arch.h"
#include "net/builder.h"

enum { WIDTH, BLOCKS };

/* x -> conv2(relu(bn2(dropout(conv1(relu(bn1(x))))))) + shortcut(x); the shortcut reads the raw x.
 */
static int preact_block(struct fx_builder *b, int x, int c_in, int planes, int stride,
                        double dropout)
{
    int out = fx_build_batchnorm(b, "bn1", x, true);

    out = fx_build_conv(b, "conv1", out, planes, 3, stride, 1);
    out = fx_build_dropout(b, out, dropout);
    out = fx_build_batchnorm(b, "bn2", out, true);
    out = fx_build_conv(b, "conv2", out, planes, 3, 1, 1);
    if (stride != 1 || c_in != planes)
        x = fx_build_conv(b, "shortcut.0", x, planes, 1, stride, 1);
    return fx_build_add(b, out, x, false);
}

static int build(struct fx_builder *b, int image, double dropout,
                 const struct fx_arch_value *values)
{
    const struct fx_arch_value *blocks = &values[BLOCKS];
    int c = values[WIDTH].v[0];
    int x = fx_build_conv(b, "conv1", image, c, 3, 1, 1);

    for (int i = 0; i < blocks->n; i++) {
        int planes = values[WIDTH].v[0] << i;

        for (int j = 0; j < blocks->v[i]; j++) {
            fx_builder_enter(b, "layer%d.%d", i + 1, j);
            x = preact_block(b, x, c, planes, i > 0 && j == 0 ? 2 : 1, dropout);
            fx_builder_leave(b);
            c = planes;
        }
    }
    return fx_build_batchnorm(b, "bn", x, true);
}

const struct fx_network fx_network_preact_resnet = {
    .summary = "ResNet of pre-activation basic blocks",
    .wandb_project = "MCN_PreActResNet_Fusion",
    .classifier = "linear",
    .dropout = 0.0,
    .recipe = { .weight_decay = 1e-4,
                .dropout = 0.0,
                .label_smoothing = 0.1,
                .augment = FX_AUGMENT_BASELINE,
                .batch = 128 },
    .keys = {
        [WIDTH] = { "width", 1, 1024, false, { 1, { 64 } } },
        [BLOCKS] = { "blocks", 1, 64, true, { 4, { 2, 2, 2, 2 } } },
    },
    .build = build,
};
