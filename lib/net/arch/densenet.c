/* DenseNet-BC for 32x32 images: every layer reads the concatenation of all maps before it.
 * Source: Huang et al., "Densely Connected Convolutional Networks" (CVPR 2017); bottleneck 4,
 * compression 1/2. */
#include "net/arch.h"
#include "net/builder.h"

enum { GROWTH, BLOCKS };

/* x -> concat(x, conv3x3(relu(bn(conv1x1(relu(bn(x))))))) */
static int dense_layer(struct fx_builder *b, int x, int growth, double dropout)
{
    int xs[2] = { x, x };

    fx_builder_enter(b, "dense_layer");
    xs[1] = fx_build_batchnorm(b, "0", xs[1], true);
    xs[1] = fx_build_conv(b, "2", xs[1], 4 * growth, 1, 1, 1);
    xs[1] = fx_build_batchnorm(b, "3", xs[1], true);
    xs[1] = fx_build_conv(b, "5", xs[1], growth, 3, 1, 1);
    xs[1] = fx_build_dropout(b, xs[1], dropout);
    fx_builder_leave(b);
    return fx_build_concat(b, 2, xs);
}

static int dense_block(struct fx_builder *b, int x, int n_layers, int growth, double dropout)
{
    fx_builder_enter(b, "dense_block");
    for (int j = 0; j < n_layers; j++) {
        fx_builder_enter(b, "%d", j);
        x = dense_layer(b, x, growth, dropout);
        fx_builder_leave(b);
    }
    fx_builder_leave(b);
    return x;
}

/* Half the channels, half the height and width. */
static int transition(struct fx_builder *b, int x, int c_out)
{
    fx_builder_enter(b, "transition_layer");
    x = fx_build_batchnorm(b, "0", x, true);
    x = fx_build_conv(b, "2", x, c_out, 1, 1, 1);
    x = fx_build_avgpool2(b, x);
    fx_builder_leave(b);
    return x;
}

static int build(struct fx_builder *b, int image, double dropout,
                 const struct fx_arch_value *values)
{
    int growth = values[GROWTH].v[0];
    const struct fx_arch_value *blocks = &values[BLOCKS];
    int c = 2 * growth;
    int x;

    fx_builder_enter(b, "features");
    x = fx_build_conv(b, "0", image, c, 3, 1, 1);
    x = fx_build_batchnorm(b, "1", x, true);
    for (int i = 0; i < blocks->n; i++) {
        fx_builder_enter(b, "denseblock%d", i + 1);
        x = dense_block(b, x, blocks->v[i], growth, dropout);
        fx_builder_leave(b);
        c += blocks->v[i] * growth;
        if (i == blocks->n - 1)
            break;
        fx_builder_enter(b, "transition%d", i + 1);
        c /= 2;
        x = transition(b, x, c);
        fx_builder_leave(b);
    }
    x = fx_build_batchnorm(b, "norm_final", x, true);
    fx_builder_leave(b);
    return x;
}

const struct fx_network fx_network_densenet = {
    .summary = "DenseNet-BC with bottleneck 4 and compression 1/2",
    .wandb_project = "MCN_DenseNet_Fusion",
    .classifier = "classifier",
    .dropout = 0.0,
    .recipe = { .weight_decay = 1e-4,
                .dropout = 0.2,
                .label_smoothing = 0.05,
                .augment = FX_AUGMENT_LIGHT,
                .batch = 64 },
    .keys = {
        [GROWTH] = { "growth", 1, 256, false, { 1, { 32 } } },
        [BLOCKS] = { "blocks", 1, 64, true, { 4, { 6, 12, 24, 16 } } },
    },
    .build = build,
};
