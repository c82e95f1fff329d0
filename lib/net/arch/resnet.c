/* ResNet of basic blocks for 32x32 images (3x3 stem, no pooling in front).
 * Source: He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016). */
#include "net/arch.h"
#include "net/builder.h"

enum { WIDTH, BLOCKS };

/* x -> relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)) */
static int basic_block(struct fx_builder *b, int x, int c_in, int planes, int stride,
                       double dropout)
{
    int out = fx_build_conv(b, "conv1", x, planes, 3, stride, 1);

    out = fx_build_batchnorm(b, "bn1", out, true);
    out = fx_build_dropout(b, out, dropout);
    out = fx_build_conv(b, "conv2", out, planes, 3, 1, 1);
    out = fx_build_batchnorm(b, "bn2", out, false);
    if (stride != 1 || c_in != planes) {
        x = fx_build_conv(b, "shortcut.0", x, planes, 1, stride, 1);
        x = fx_build_batchnorm(b, "shortcut.1", x, false);
    }
    return fx_build_add(b, out, x, true);
}

static int build(struct fx_builder *b, int image, double dropout,
                 const struct fx_arch_value *values)
{
    const struct fx_arch_value *blocks = &values[BLOCKS];
    int c = values[WIDTH].v[0];
    int x = fx_build_conv(b, "conv1", image, c, 3, 1, 1);

    x = fx_build_batchnorm(b, "bn1", x, true);
    for (int i = 0; i < blocks->n; i++) {
        int planes = values[WIDTH].v[0] << i;

        for (int j = 0; j < blocks->v[i]; j++) {
            fx_builder_enter(b, "layer%d.%d", i + 1, j);
            x = basic_block(b, x, c, planes, i > 0 && j == 0 ? 2 : 1, dropout);
            fx_builder_leave(b);
            c = planes;
        }
    }
    return x;
}

const struct fx_network fx_network_resnet = {
    .summary = "ResNet of basic blocks",
    .wandb_project = "MCN_ResNet_Fusion",
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
