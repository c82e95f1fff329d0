/* Wide ResNet with pre-activation blocks.
 * Source: Zagoruyko and Komodakis, "Wide Residual Networks" (BMVC 2016). */
#include "net/arch.h"
#include "net/builder.h"

enum { DEPTH, WIDTH };

/* a = relu(bn1(x)); out = conv2(dropout(relu(bn2(conv1(a))))) + shortcut, which is x itself where
 * the widths are equal and a 1x1 convolution of the activated a where they are not. */
static int wide_block(struct fx_builder *b, int x, int c_in, int c_out, int stride, double dropout)
{
    int a = fx_build_batchnorm(b, "bn1", x, true);
    int out = fx_build_conv(b, "conv1", a, c_out, 3, stride, 1);

    out = fx_build_batchnorm(b, "bn2", out, true);
    out = fx_build_dropout(b, out, dropout);
    out = fx_build_conv(b, "conv2", out, c_out, 3, 1, 1);
    if (c_in != c_out)
        x = fx_build_conv(b, "conv_shortcut", a, c_out, 1, stride, 1);
    return fx_build_add(b, out, x, false);
}

static int build(struct fx_builder *b, int image, double dropout,
                 const struct fx_arch_value *values)
{
    int depth = values[DEPTH].v[0], n_blocks = (depth - 4) / 6;
    int c = 16;
    int x = fx_build_conv(b, "conv1", image, c, 3, 1, 1);

    if (depth % 6 != 4) {
        fx_builder_fail(b, FX_EUSAGE, "depth %d: a wide ResNet has 6n + 4 layers (10, 16, 22, 28)",
                        depth);
        n_blocks = 0;
    }
    for (int i = 0; i < 3; i++) {
        int c_out = (16 << i) * values[WIDTH].v[0];

        for (int j = 0; j < n_blocks; j++) {
            fx_builder_enter(b, "block%d.layer.%d", i + 1, j);
            x = wide_block(b, x, c, c_out, i > 0 && j == 0 ? 2 : 1, dropout);
            fx_builder_leave(b);
            c = c_out;
        }
    }
    return fx_build_batchnorm(b, "bn1", x, true);
}

const struct fx_network fx_network_wideresnet = {
    .summary = "wide ResNet of pre-activation blocks",
    .wandb_project = "MCN_ImprovedWideResNet_Fusion",
    .classifier = "fc",
    .dropout = 0.3,
    .recipe = { .weight_decay = 5e-4,
                .dropout = 0.3,
                .label_smoothing = 0.05,
                .augment = FX_AUGMENT_STRONG,
                .batch = 128 },
    .keys = {
        [DEPTH] = { "depth", 10, 100, false, { 1, { 28 } } },
        [WIDTH] = { "width", 1, 64, false, { 1, { 10 } } },
    },
    .build = build,
};
