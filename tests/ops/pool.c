/* AVGPOOL2 and GLOBALPOOL on every back end against ref, ref against finite differences. */
#include "op_case.h"

struct pool {
    int c, side, n;
};

static void build_avgpool(struct fx_builder *b, const void *arg)
{
    const struct pool *k = arg;

    fx_build_avgpool2(b, fx_build_input(b, (struct fx_value_shape){ 1, k->c, k->side, k->side }));
}

static void build_globalpool(struct fx_builder *b, const void *arg)
{
    const struct pool *k = arg;

    fx_build_globalpool(b, fx_build_input(b, (struct fx_value_shape){ 1, k->c, k->side, k->side }));
}

static const struct pool sizes[] = { { 1, 4, 1 },  { 3, 6, 2 },  { 8, 32, 1 }, { 16, 8, 3 },
                                     { 31, 4, 5 }, { 33, 2, 2 }, { 48, 5, 1 }, { 24, 7, 3 } };

static void run_all(const char *name, op_build build)
{
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const struct pool *k = &sizes[i];
        char what[128];
        struct op_case c = { what, build, k, k->n, FX_TRAIN, false };

        snprintf(what, sizeof what, "%s %d channels, %dx%d, batch %d", name, k->c, k->side, k->side,
                 k->n);
        op_run_case(&c);
    }
}

static void average_pools_agree(void **state)
{
    (void)state;
    run_all("avgpool2", build_avgpool);
}

static void global_pools_agree(void **state)
{
    (void)state;
    run_all("globalpool", build_globalpool);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(average_pools_agree),
                                        cmocka_unit_test(global_pools_agree) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
