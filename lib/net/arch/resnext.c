/* ResNeXt with pre-activation bottlenecks.
 * Sources: Xie et al., "Aggregated Residual Transformations for Deep Neural Networks" (CVPR 2017);
 * He et al., "Identity Mappings in Deep Residual Networks" (ECCV 2016) for the order BN, ReLU,
 * convolution. */
#include "net/arch.h"
#include "net/builder.h"

enum { DEPTH, CARDINALITY, BASE_WIDTH, WIDTH };

/* Numbers of channels in a bottleneck. */
struct bottleneck {
    int c_in, c_grouped, c_out;
    int groups;
    int stride; /* of the grouped 3x3 */
};

/* x -> conv3(relu(bn3(dropout(conv2(relu(bn2(conv1(relu(bn1(x))))))))) + shortcut(x); the shortcut
 * reads the raw x. */
static int bottleneck(struct fx_builder *b, int x, const struct bottleneck *k, double dropout)
{
    int out = fx_build_batchnorm(b, "bn1", x, true);

    out = fx_build_conv(b, "conv1", out, k->c_grouped, 1, 1, 1);
    out = fx_build_batchnorm(b, "bn2", out, true);
    out = fx_build_conv(b, "conv2.conv", out, k->c_grouped, 3, k->stride, k->groups);
    out = fx_build_dropout(b, out, dropout);
    out = fx_build_batchnorm(b, "bn3", out, true);
    out = fx_build_conv(b, "conv3", out, k->c_out, 1, 1, 1);
    if (k->stride != 1 || k->c_in != k->c_out)
        x = fx_build_conv(b, "shortcut.0", x, k->c_out, 1, k->stride, 1);
    return fx_build_add(b, out, x, false);
}

/* The base width is the width of a group in a stage of 64 planes; it grows with the planes. */
static int stage(struct fx_builder *b, int x, int i, const struct fx_arch_value *values,
                 double dropout)
{
    int planes = values[WIDTH].v[0] << i, scaled = planes * values[BASE_WIDTH].v[0];
    int groups = values[CARDINALITY].v[0], c_out = 4 * planes;
    struct bottleneck k = { .c_in = i == 0 ? planes : 2 * planes,
                            .c_grouped = scaled / 64 * groups,
                            .c_out = c_out,
                            .groups = groups };

    if (scaled % 64 != 0)
        return fx_builder_fail(b, FX_EUSAGE,
                               "width * base_width must be a multiple of 64, not %d * %d",
                               values[WIDTH].v[0], values[BASE_WIDTH].v[0]);
    for (int j = 0; j < (values[DEPTH].v[0] - 2) / 9; j++) {
        fx_builder_enter(b, "layer%d.%d", i + 1, j);
        k.stride = i > 0 && j == 0 ? 2 : 1;
        x = bottleneck(b, x, &k, dropout);
        fx_builder_leave(b);
        k.c_in = c_out;
    }
    return x;
}

static int build(struct fx_builder *b, int image, double dropout,
                 const struct fx_arch_value *values)
{
    int depth = values[DEPTH].v[0];
    int x = fx_build_conv(b, "conv1", image, values[WIDTH].v[0], 3, 1, 1);

    if (depth % 9 != 2)
        fx_builder_fail(b, FX_EUSAGE, "depth %d: a ResNeXt has 9n + 2 layers (11, 20, 29)", depth);
    for (int i = 0; i < 3; i++)
        x = stage(b, x, i, values, dropout);
    return fx_build_batchnorm(b, "bn", x, true);
}

const struct fx_network fx_network_resnext = {
    .summary = "ResNeXt of pre-activation bottlenecks",
    .wandb_project = "MCN_ResNeXt_Fusion",
    .classifier = "fc",
    .dropout = 0.3,
    .recipe = { .weight_decay = 5e-4,
                .dropout = 0.3,
                .label_smoothing = 0.05,
                .augment = FX_AUGMENT_SOTA,
                .batch = 128 },
    .keys = {
        [DEPTH] = { "depth", 11, 101, false, { 1, { 29 } } },
        [CARDINALITY] = { "cardinality", 1, 64, false, { 1, { 8 } } },
        [BASE_WIDTH] = { "base_width", 1, 512, false, { 1, { 64 } } },
        [WIDTH] = { "width", 1, 512, false, { 1, { 64 } } },
    },
    .build = build,
};
