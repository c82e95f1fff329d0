/* PRODUCT, WEIGHTED_SUM, GATED_SUM, STACK, TOKEN_MEAN, ATTENTION and RESIDUAL: every back end
 * against ref, ref against finite differences; and whole fusion modules on small vectors. */
#include "op_case.h"

#include "net/fusion.h"
#include "net/model.h"

struct fuse {
    int n_values, c, n;
    double p;           /* dropout */
    const char *fusion; /* whole modules */
};

static void inputs(struct fx_builder *b, const struct fuse *k, int *xs)
{
    for (int i = 0; i < k->n_values; i++)
        xs[i] = fx_build_input(b, (struct fx_value_shape){ 1, k->c, 1, 1 });
}

static void build_product(struct fx_builder *b, const void *arg)
{
    const struct fuse *k = arg;
    int xs[FX_NODE_MAX_INPUTS];

    inputs(b, k, xs);
    fx_build_product(b, k->n_values, xs, 0);
}

static void build_shifted(struct fx_builder *b, const void *arg)
{
    const struct fuse *k = arg;
    int xs[FX_NODE_MAX_INPUTS];

    inputs(b, k, xs);
    fx_build_product(b, k->n_values, xs, 1);
}

static void build_weighted_sum(struct fx_builder *b, const void *arg)
{
    const struct fuse *k = arg;
    struct fx_param_spec w = {
        .name = "w", .kind = FX_PARAM_TRAINED, .n_dims = 1, .shape = { k->n_values }
    };
    int xs[FX_NODE_MAX_INPUTS];

    inputs(b, k, xs);
    fx_build_weighted_sum(b, k->n_values, xs, fx_build_param(b, &w));
}

static void build_gated_sum(struct fx_builder *b, const void *arg)
{
    const struct fuse *k = arg;
    int xs[FX_NODE_MAX_INPUTS];

    inputs(b, k, xs);
    fx_build_gated_sum(b, k->n_values, xs,
                       fx_build_input(b, (struct fx_value_shape){ 1, k->n_values, 1, 1 }));
}

static void build_stack(struct fx_builder *b, const void *arg)
{
    const struct fuse *k = arg;
    int xs[FX_NODE_MAX_INPUTS];

    inputs(b, k, xs);
    fx_build_stack(b, k->n_values, xs);
}

static void build_token_mean(struct fx_builder *b, const void *arg)
{
    const struct fuse *k = arg;

    fx_build_token_mean(b, fx_build_input(b, (struct fx_value_shape){ k->n_values, k->c, 1, 1 }));
}

static void build_attention(struct fx_builder *b, const void *arg)
{
    const struct fuse *k = arg;
    struct fx_value_shape shape = { k->n_values, 3 * k->c, 1, 1 };

    fx_build_attention(b, fx_build_input(b, shape), k->c / 4, k->p);
}

static void build_residual(struct fx_builder *b, const void *arg)
{
    const struct fuse *k = arg;
    int xs[FX_NODE_MAX_INPUTS];

    inputs(b, k, xs);
    fx_build_residual(b, fx_build_input(b, (struct fx_value_shape){ 1, k->c, 1, 1 }), k->n_values,
                      xs);
}

static void build_module(struct fx_builder *b, const void *arg)
{
    const struct fuse *k = arg;
    const struct fx_fusion *fusion;
    int xs[FX_NODE_MAX_INPUTS];

    inputs(b, k, xs);
    if (fx_fusion_find(k->fusion, &fusion, b->err) != FX_OK)
        fail_msg("%s", b->err->msg);
    fusion->module->build(b, k->n_values, xs, k->p);
}

static void run_all(const char *name, op_build build)
{
    static const struct fuse sizes[] = {
        { 4, 16, 3, 0, NULL }, { 1, 4, 1, 0, NULL },    { 2, 8, 5, 0, NULL },
        { 3, 40, 2, 0, NULL }, { 8, 24, 1, 0.3, NULL }, { 4, 64, 3, 0.2, NULL },
    };

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const struct fuse *k = &sizes[i];
        char what[128];
        struct op_case c = { what, build, k, k->n, FX_TRAIN, false };

        snprintf(what, sizeof what, "%s of %d values of width %d, batch %d", name, k->n_values,
                 k->c, k->n);
        op_run_case(&c);
    }
}

static void products_agree(void **state)
{
    (void)state;
    run_all("product", build_product);
    run_all("shifted product", build_shifted);
}

static void weighted_sums_agree(void **state)
{
    (void)state;
    run_all("weighted sum", build_weighted_sum);
}

static void gated_sums_agree(void **state)
{
    (void)state;
    run_all("gated sum", build_gated_sum);
}

static void tokens_agree(void **state)
{
    (void)state;
    run_all("stack", build_stack);
    run_all("token mean", build_token_mean);
}

static void attentions_agree(void **state)
{
    (void)state;
    run_all("attention", build_attention);
}

static void residuals_agree(void **state)
{
    (void)state;
    run_all("residual", build_residual);
}

/* Every module has a ReLU, so only the back ends are compared. */
static void whole_modules_agree(void **state)
{
    (void)state;
    for (int i = 0; fx_fusions[i].name; i++) {
        struct fuse k = { 4, 24, 3, 0.2, fx_fusions[i].name };
        struct op_case c = { fx_fusions[i].name, build_module, &k, k.n, FX_TRAIN, true };

        op_run_case(&c);
        c.mode = FX_EVAL;
        op_run_case(&c);
    }
}

/* A product with a zero in it has a gradient all the same: the product of the others. */
static void a_zero_factor_has_a_gradient(void **state)
{
    struct fuse k = { 3, 2, 1, 0, NULL };
    struct op_case c = { "product with zeros", build_product, &k, 1, FX_TRAIN, false };
    static const float x[3][2] = { { 0, 2 }, { 3, 0 }, { 5, 0 } }, dy[2] = { 1, 1 };
    static const float expected[3][2] = { { 15, 0 }, { 0, 0 }, { 0, 0 } };
    struct fx_err err = { 0 };
    struct op_run run;

    (void)state;
    assert_true(op_open(&run, &c, "ref", FX_PRECISION_FP32));
    for (int i = 0; i < 3; i++)
        op_write_input(&run, i, x[i]);
    op_check(run.backend->value_write(run.program, run.last, true, dy, &err), &err);
    op_forward(&run);
    op_backward(&run);
    for (int i = 0; i < 3; i++) {
        float *dx = op_read_value(&run, i, true);

        assert_memory_equal(dx, expected[i], sizeof expected[i]);
        free(dx);
    }
    op_close(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_agree),      cmocka_unit_test(weighted_sums_agree),
        cmocka_unit_test(gated_sums_agree),    cmocka_unit_test(tokens_agree),
        cmocka_unit_test(attentions_agree),    cmocka_unit_test(residuals_agree),
        cmocka_unit_test(whole_modules_agree), cmocka_unit_test(a_zero_factor_has_a_gradient),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
