/* ref's forward values against the formula of each operator, written out once more with plain
 * indices: the other tests compare gradients with values, and back ends with ref. */
#include "op_case.h"

enum { N = 2 };

static struct op_run run;

/* Opens a case on ref and runs it forward. */
static void start(const char *what, op_build build, const void *arg, enum fx_mode mode)
{
    struct op_case c = { what, build, arg, N, mode, false };

    assert_true(op_open(&run, &c, "ref", FX_PRECISION_FP32));
    op_fill(&run, mode);
    op_forward(&run);
}

/* Compares the last node's element i with expected(i) for all i. */
static void check_all(double (*expected)(size_t i))
{
    float *y = op_read_value(&run, run.last, false);

    for (size_t i = 0; i < op_size(&run, run.last); i++) {
        double want = expected(i);

        if (!(fabs((double)y[i] - want) <= 1e-5 * fmax(1, fabs(want))))
            fail_msg("element %zu is %.9g, expected %.9g", i, (double)y[i], want);
    }
    free(y);
    op_close(&run);
}

/* Element i of input node `node`, and of parameter `param`, as op_fill writes them. */
static double x(int node, int i)
{
    return (double)op_random(OP_INPUT + (uint32_t)node, (uint32_t)i);
}

static double w(int param, int i)
{
    return (double)op_random(OP_PARAM + (uint32_t)param, (uint32_t)i);
}

/* Splits i into indices of an array with these inner sizes. */
static void split(size_t i, int c, int h, int ww, int at[4])
{
    int sizes[4] = { 1 << 30, c, h, ww };

    for (int d = 3; d >= 0; d--) {
        at[d] = (int)(i % (size_t)sizes[d]);
        i /= (size_t)sizes[d];
    }
}

/* ---- convolutions: 6 -> 4 channels in 2 groups, 5x5, stride given ---- */

enum { C_IN = 6, C_OUT = 4, GROUPS = 2, SIDE = 5 };
static int stride, kernel;

static void build_conv(struct fx_builder *b, const void *arg)
{
    (void)arg;
    fx_build_conv(b, "conv", fx_build_input(b, (struct fx_value_shape){ 1, C_IN, SIDE, SIDE }),
                  C_OUT, kernel, stride, GROUPS);
}

static double conv_at(size_t i)
{
    int at[4], side = (SIDE - 1) / stride + 1, per_group = C_IN / GROUPS;
    double sum = 0;

    split(i, C_OUT, side, side, at);
    for (int c = 0; c < per_group; c++) {
        for (int r = 0; r < kernel; r++) {
            for (int s = 0; s < kernel; s++) {
                int row = at[2] * stride + r - kernel / 2, column = at[3] * stride + s - kernel / 2;
                int channel = at[1] / (C_OUT / GROUPS) * per_group + c;

                if (row < 0 || row >= SIDE || column < 0 || column >= SIDE)
                    continue;
                sum += w(0, ((at[1] * per_group + c) * kernel + r) * kernel + s) *
                       x(0, ((at[0] * C_IN + channel) * SIDE + row) * SIDE + column);
            }
        }
    }
    return sum;
}

static void convolution(void **state)
{
    (void)state;
    for (stride = 1; stride <= 2; stride++) {
        for (kernel = 1; kernel <= 3; kernel += 2) {
            start("conv", build_conv, NULL, FX_TRAIN);
            check_all(conv_at);
        }
    }
}

/* ---- batch norm: 3 channels, 4x4 ---- */

enum { BN_C = 3, BN_SIDE = 4, BN_AREA = BN_SIDE * BN_SIDE };

static void build_batchnorm(struct fx_builder *b, const void *arg)
{
    const bool *relu = arg;

    fx_build_batchnorm(
        b, "bn", fx_build_input(b, (struct fx_value_shape){ 1, BN_C, BN_SIDE, BN_SIDE }), *relu);
}

static double batchnorm_train_at(size_t i)
{
    int channel = (int)i / BN_AREA % BN_C;
    double mean = 0, var = 0;

    for (int n = 0; n < N; n++)
        for (int j = 0; j < BN_AREA; j++)
            mean += x(0, (n * BN_C + channel) * BN_AREA + j) / (N * BN_AREA);
    for (int n = 0; n < N; n++)
        for (int j = 0; j < BN_AREA; j++)
            var += pow(x(0, (n * BN_C + channel) * BN_AREA + j) - mean, 2) / (N * BN_AREA);
    return (x(0, (int)i) - mean) / sqrt(var + 1e-5) * w(0, channel) + w(1, channel);
}

static double batchnorm_eval_at(size_t i)
{
    int channel = (int)i / BN_AREA % BN_C;
    double mean = w(2, channel), var = 1.25 + 0.75 * w(3, channel);
    double y = (x(0, (int)i) - mean) / sqrt(var + 1e-5) * w(0, channel) + w(1, channel);

    return y > 0 ? y : 0; /* built with a ReLU */
}

static void batch_norm(void **state)
{
    static const bool no = false, yes = true;

    (void)state;
    start("batchnorm", build_batchnorm, &no, FX_TRAIN);
    check_all(batchnorm_train_at);
    start("batchnorm", build_batchnorm, &yes, FX_EVAL);
    check_all(batchnorm_eval_at);
}

/* ---- rows: 2 tokens of width 5 -> 3 ---- */

enum { TOKENS = 2, WIDTH = 5, OUT = 3 };

static void build_linear(struct fx_builder *b, const void *arg)
{
    (void)arg;
    fx_build_linear(b, "fc", fx_build_input(b, (struct fx_value_shape){ TOKENS, WIDTH, 1, 1 }), OUT,
                    true, FX_LINEAR_DEFAULT);
}

static double linear_at(size_t i)
{
    int row = (int)i / OUT, o = (int)i % OUT;
    double sum = w(1, o);

    for (int c = 0; c < WIDTH; c++)
        sum += w(0, o * WIDTH + c) * x(0, row * WIDTH + c);
    return sum > 0 ? sum : 0;
}

static void build_layernorm(struct fx_builder *b, const void *arg)
{
    (void)arg;
    fx_build_layernorm(b, "ln", fx_build_input(b, (struct fx_value_shape){ TOKENS, WIDTH, 1, 1 }));
}

static double layernorm_at(size_t i)
{
    int row = (int)i / WIDTH, c = (int)i % WIDTH;
    double mean = 0, var = 0;

    for (int j = 0; j < WIDTH; j++)
        mean += x(0, row * WIDTH + j) / WIDTH;
    for (int j = 0; j < WIDTH; j++)
        var += pow(x(0, row * WIDTH + j) - mean, 2) / WIDTH;
    return (x(0, (int)i) - mean) / sqrt(var + 1e-5) * w(0, c) + w(1, c);
}

static void rows(void **state)
{
    (void)state;
    start("linear", build_linear, NULL, FX_TRAIN);
    check_all(linear_at);
    start("layernorm", build_layernorm, NULL, FX_TRAIN);
    check_all(layernorm_at);
}

/* ---- pools: 3 channels, 5x4 maps, of which the fifth row is left out by the 2x2 one ---- */

enum { POOL_C = 3, POOL_H = 5, POOL_W = 4 };

static void build_avgpool(struct fx_builder *b, const void *arg)
{
    (void)arg;
    fx_build_avgpool2(b, fx_build_input(b, (struct fx_value_shape){ 1, POOL_C, POOL_H, POOL_W }));
}

static double avgpool_at(size_t i)
{
    int at[4], corner;

    split(i, POOL_C, POOL_H / 2, POOL_W / 2, at);
    corner = ((at[0] * POOL_C + at[1]) * POOL_H + 2 * at[2]) * POOL_W + 2 * at[3];
    return (x(0, corner) + x(0, corner + 1) + x(0, corner + POOL_W) + x(0, corner + POOL_W + 1)) /
           4;
}

static void build_globalpool(struct fx_builder *b, const void *arg)
{
    (void)arg;
    fx_build_globalpool(b, fx_build_input(b, (struct fx_value_shape){ 1, POOL_C, POOL_H, POOL_W }));
}

static double globalpool_at(size_t i)
{
    double sum = 0;

    for (int j = 0; j < POOL_H * POOL_W; j++)
        sum += x(0, (int)i * POOL_H * POOL_W + j);
    return sum / (POOL_H * POOL_W);
}

static void pools(void **state)
{
    (void)state;
    start("avgpool2", build_avgpool, NULL, FX_TRAIN);
    check_all(avgpool_at);
    start("globalpool", build_globalpool, NULL, FX_TRAIN);
    check_all(globalpool_at);
}

/* ---- joining three values of 5 channels, 1x1 ---- */

enum { K = 3 };
enum joint { SUM, JOINED, PRODUCT, SHIFTED, WEIGHTED, GATED, STACKED };

static void build_joint(struct fx_builder *b, const void *arg)
{
    struct fx_param_spec spec = {
        .name = "w", .kind = FX_PARAM_TRAINED, .n_dims = 1, .shape = { K }
    };
    int xs[K];

    for (int k = 0; k < K; k++)
        xs[k] = fx_build_input(b, (struct fx_value_shape){ 1, WIDTH, 1, 1 });
    switch (*(const enum joint *)arg) {
    case SUM:
        fx_build_add(b, xs[0], xs[1], true);
        break;
    case JOINED:
        fx_build_concat(b, K, xs);
        break;
    case PRODUCT:
        fx_build_product(b, K, xs, 0);
        break;
    case SHIFTED:
        fx_build_product(b, K, xs, 1);
        break;
    case WEIGHTED:
        fx_build_weighted_sum(b, K, xs, fx_build_param(b, &spec));
        break;
    case GATED:
        fx_build_gated_sum(b, K, xs, fx_build_input(b, (struct fx_value_shape){ 1, K, 1, 1 }));
        break;
    case STACKED:
        fx_build_stack(b, K, xs);
        break;
    }
}

static double sum_at(size_t i)
{
    return fmax(0, x(0, (int)i) + x(1, (int)i));
}

/* Also what a stack holds: for single vectors tokens and joined channels lie alike. */
static double joined_at(size_t i)
{
    int n = (int)i / (K * WIDTH), k = (int)i / WIDTH % K, c = (int)i % WIDTH;

    return x(k, n * WIDTH + c);
}

static double product_at(size_t i)
{
    return x(0, (int)i) * x(1, (int)i) * x(2, (int)i);
}

static double shifted_at(size_t i)
{
    return (x(0, (int)i) + 1) * (x(1, (int)i) + 1) * (x(2, (int)i) + 1);
}

static double weighted_at(size_t i)
{
    double e[K], sum = 0, y = 0;

    for (int k = 0; k < K; k++)
        sum += e[k] = exp(w(0, k));
    for (int k = 0; k < K; k++)
        y += e[k] / sum * x(k, (int)i);
    return y;
}

static double gated_at(size_t i)
{
    double e[K], sum = 0, y = 0;

    for (int k = 0; k < K; k++)
        sum += e[k] = exp(x(K, (int)i / WIDTH * K + k));
    for (int k = 0; k < K; k++)
        y += e[k] / sum * x(k, (int)i);
    return y;
}

static void joints(void **state)
{
    static double (*const expected[])(
        size_t) = { [SUM] = sum_at,         [JOINED] = joined_at,     [PRODUCT] = product_at,
                    [SHIFTED] = shifted_at, [WEIGHTED] = weighted_at, [GATED] = gated_at,
                    [STACKED] = joined_at };

    (void)state;
    for (enum joint j = SUM; j <= STACKED; j++) {
        start("joint", build_joint, &j, FX_TRAIN);
        check_all(expected[j]);
    }
}

/* ---- attention: 3 tokens of width 6 in 2 heads; the mean of tokens ---- */

enum { ATT_T = 3, ATT_C = 6, HEADS = 2, HEAD_C = ATT_C / HEADS };

static void build_attention(struct fx_builder *b, const void *arg)
{
    (void)arg;
    fx_build_attention(b, fx_build_input(b, (struct fx_value_shape){ ATT_T, 3 * ATT_C, 1, 1 }),
                       HEADS, 0);
}

/* part 0, 1, 2: q, k, v of token t, channel c. */
static double qkv(int n, int t, int part, int c)
{
    return x(0, (n * ATT_T + t) * 3 * ATT_C + part * ATT_C + c);
}

static double attention_at(size_t i)
{
    int n = (int)i / (ATT_T * ATT_C), query = (int)i / ATT_C % ATT_T, c = (int)i % ATT_C;
    int first = c / HEAD_C * HEAD_C;
    double e[ATT_T], sum = 0, y = 0;

    for (int t = 0; t < ATT_T; t++) {
        double score = 0;

        for (int j = first; j < first + HEAD_C; j++)
            score += qkv(n, query, 0, j) * qkv(n, t, 1, j);
        sum += e[t] = exp(score / sqrt(HEAD_C));
    }
    for (int t = 0; t < ATT_T; t++)
        y += e[t] / sum * qkv(n, t, 2, c);
    return y;
}

static void build_token_mean(struct fx_builder *b, const void *arg)
{
    (void)arg;
    fx_build_token_mean(b, fx_build_input(b, (struct fx_value_shape){ ATT_T, ATT_C, 1, 1 }));
}

static double token_mean_at(size_t i)
{
    int n = (int)i / ATT_C, c = (int)i % ATT_C;

    return (x(0, n * 18 + c) + x(0, n * 18 + 6 + c) + x(0, n * 18 + 12 + c)) / 3;
}

static void tokens(void **state)
{
    (void)state;
    start("attention", build_attention, NULL, FX_TRAIN);
    check_all(attention_at);
    start("token mean", build_token_mean, NULL, FX_TRAIN);
    check_all(token_mean_at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolution), cmocka_unit_test(batch_norm), cmocka_unit_test(rows),
        cmocka_unit_test(pools),       cmocka_unit_test(joints),     cmocka_unit_test(tokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
