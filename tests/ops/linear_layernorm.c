/* LINEAR and LAYERNORM on rows, with one and with several tokens: every back end against ref, ref
 * against finite differences. */
#include "op_case.h"

struct rows {
    int tokens, c_in, c_out, n;
    bool relu;
};

static void build_linear(struct fx_builder *b, const void *arg)
{
    const struct rows *k = arg;
    int x = fx_build_input(b, (struct fx_value_shape){ k->tokens, k->c_in, 1, 1 });

    fx_build_linear(b, "fc", x, k->c_out, k->relu, FX_LINEAR_DEFAULT);
}

static void build_layernorm(struct fx_builder *b, const void *arg)
{
    const struct rows *k = arg;

    fx_build_layernorm(b, "ln",
                       fx_build_input(b, (struct fx_value_shape){ k->tokens, k->c_in, 1, 1 }));
}

static const struct rows sizes[] = {
    { 1, 1, 1, 1, false },    { 1, 3, 8, 2, true },    { 1, 31, 33, 5, false },
    { 1, 48, 10, 3, true },   { 4, 16, 48, 2, false }, { 3, 33, 31, 1, true },
    { 1, 64, 100, 1, false },
};

static void run_all(const char *name, op_build build, bool has_relu)
{
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const struct rows *k = &sizes[i];
        char what[128];
        struct op_case c = { what, build, k, k->n, FX_TRAIN, has_relu && k->relu };

        snprintf(what, sizeof what, "%s%s %d -> %d, %d tokens, batch %d", name,
                 c.has_kink ? "+relu" : "", k->c_in, k->c_out, k->tokens, k->n);
        op_run_case(&c);
    }
}

static void linears_agree(void **state)
{
    (void)state;
    run_all("linear", build_linear, true);
}

static void layernorms_agree(void **state)
{
    (void)state;
    run_all("layernorm", build_layernorm, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(linears_agree),
                                        cmocka_unit_test(layernorms_agree) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
