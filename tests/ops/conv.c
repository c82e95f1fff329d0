/* CONV2D on every back end against ref, and ref against finite differences: odd channel counts,
 * maps, batches, both strides, groups, and the 1x1 and 3x3 kernels of the networks. */
#include "op_case.h"

struct conv {
    int c_in, c_out, side, kernel, stride, groups, n;
};

static void build(struct fx_builder *b, const void *arg)
{
    const struct conv *k = arg;
    int x = fx_build_input(b, (struct fx_value_shape){ 1, k->c_in, k->side, k->side });

    fx_build_conv(b, "conv", x, k->c_out, k->kernel, k->stride, k->groups);
}

static const struct conv sizes[] = {
    { 1, 1, 5, 3, 1, 1, 1 },   { 3, 16, 7, 3, 1, 1, 2 },   { 3, 8, 32, 3, 1, 1, 1 },
    { 8, 24, 5, 3, 2, 1, 3 },  { 16, 16, 7, 3, 2, 1, 5 },  { 31, 33, 5, 3, 1, 1, 2 },
    { 33, 31, 7, 1, 1, 1, 3 }, { 48, 24, 5, 1, 2, 1, 2 },  { 24, 48, 7, 1, 2, 1, 1 },
    { 16, 16, 7, 3, 1, 8, 2 }, { 16, 32, 5, 3, 2, 4, 3 },  { 24, 24, 7, 3, 1, 3, 1 },
    { 6, 6, 5, 3, 1, 2, 2 },   { 16, 32, 32, 3, 2, 1, 1 }, { 64, 64, 4, 3, 1, 1, 5 },
    { 1, 33, 7, 1, 1, 1, 2 },  { 48, 48, 8, 3, 1, 1, 3 },  { 32, 32, 1, 3, 1, 1, 2 },
};

static void convolutions_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const struct conv *k = &sizes[i];
        char what[128];
        struct op_case c = { what, build, k, k->n, FX_TRAIN, false };

        snprintf(what, sizeof what, "conv %dx%d/%d g%d, %d -> %d channels, %dx%d, batch %d",
                 k->kernel, k->kernel, k->stride, k->groups, k->c_in, k->c_out, k->side, k->side,
                 k->n);
        op_run_case(&c);
    }
}

/* A map that three convolutions and a sum read: its gradient is shared with the other summand's at
 * first, then the sum of four, of which the last is that of the 1x1 layer. */
static void build_readers(struct fx_builder *b, const void *arg)
{
    const struct conv *k = arg;
    int x = fx_build_input(b, (struct fx_value_shape){ 1, k->c_in, k->side, k->side });
    int map = fx_build_conv(b, "map", x, k->c_out, 3, 1, 1);
    int other = fx_build_conv(b, "other", x, k->c_out, 3, 1, 1);
    int one = fx_build_conv(b, "one", map, k->c_out, 1, 1, 1);
    int three = fx_build_conv(b, "three", map, k->c_out, 3, 1, 1);
    int grouped = fx_build_conv(b, "grouped", map, k->c_out, 3, 1, k->groups);
    int sum = fx_build_add(b, map, other, false);

    sum = fx_build_add(b, sum, grouped, false);
    sum = fx_build_add(b, sum, three, false);
    fx_build_add(b, sum, one, false);
}

static void gradients_of_several_readers_are_added(void **state)
{
    static const struct conv readers[] = { { 3, 16, 7, 0, 0, 2, 2 }, { 8, 33, 5, 0, 0, 3, 1 } };

    (void)state;
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        op_run_case(&(struct op_case){ .what = "readers of a map",
                                       .build = build_readers,
                                       .arg = &readers[i],
                                       .n = readers[i].n,
                                       .mode = FX_TRAIN });
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(convolutions_agree),
                                        cmocka_unit_test(gradients_of_several_readers_are_added) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
