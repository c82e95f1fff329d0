/* ADD and CONCAT on every back end against ref, ref against finite differences. */
#include "op_case.h"

struct join {
    int c[3], n_inputs, side, n;
    bool relu;
};

static void build_add(struct fx_builder *b, const void *arg)
{
    const struct join *k = arg;
    struct fx_value_shape shape = { 1, k->c[0], k->side, k->side };
    int x = fx_build_input(b, shape), y = fx_build_input(b, shape);

    fx_build_add(b, x, y, k->relu);
}

static void build_concat(struct fx_builder *b, const void *arg)
{
    const struct join *k = arg;
    int xs[3];

    for (int i = 0; i < k->n_inputs; i++)
        xs[i] = fx_build_input(b, (struct fx_value_shape){ 1, k->c[i], k->side, k->side });
    fx_build_concat(b, k->n_inputs, xs);
}

/* Concatenations that grow as in a dense block, read by more than one node on the way. */
static void build_growing(struct fx_builder *b, const struct join *k, bool drops)
{
    int xs[2] = { fx_build_input(b, (struct fx_value_shape){ 1, k->c[0], k->side, k->side }), 0 };

    for (int i = 1; i < 3; i++) {
        int y;

        fx_builder_enter(b, "%d", i);
        y = fx_build_batchnorm(b, "bn", xs[0], k->relu);
        if (drops)
            y = fx_build_dropout(b, y, 0.3);
        xs[1] = fx_build_conv(b, "conv", y, k->c[i], 3, 1, 1);
        xs[0] = fx_build_concat(b, 2, xs);
        fx_builder_leave(b);
    }
    fx_build_batchnorm(b, "last", xs[0], false);
}

static void build_chain(struct fx_builder *b, const void *arg)
{
    build_growing(b, arg, false);
}

static void build_dropping_chain(struct fx_builder *b, const void *arg)
{
    build_growing(b, arg, true);
}

/* A map that a concatenation begins with, in place, and its second one, made of the first. */
static void build_pair(struct fx_builder *b, int x, int pair[2])
{
    int c = b->graph->nodes[x].shape.c;

    pair[0] = fx_build_avgpool2(b, x);
    pair[1] = fx_build_conv(b, "conv", fx_build_batchnorm(b, "bn", pair[0], false), c, 3, 1, 1);
}

/* The norm behind a copy wants none of its channels: it reads the first map, again. */
static void build_first_again(struct fx_builder *b, const void *arg)
{
    const struct join *k = arg;
    int x = fx_build_input(b, (struct fx_value_shape){ 1, k->c[0], k->side, k->side });
    int pair[2], both, again[2];

    build_pair(b, x, pair);
    both = fx_build_concat(b, 2, pair);
    again[1] = fx_build_batchnorm(b, "again", pair[0], false);
    again[0] = fx_build_batchnorm(b, "both", both, false);
    fx_build_concat(b, 2, again);
}

/* The norm behind a copy wants the same channels, but of another concatenation. */
static void build_twins(struct fx_builder *b, const void *arg)
{
    const struct join *k = arg;
    int x = fx_build_input(b, (struct fx_value_shape){ 1, k->c[0], k->side, k->side });
    int pairs[2][2], both[2];

    for (int i = 0; i < 2; i++) {
        fx_builder_enter(b, "%d", i);
        build_pair(b, x, pairs[i]);
        fx_builder_leave(b);
    }
    for (int i = 0; i < 2; i++)
        both[i] = fx_build_concat(b, 2, pairs[i]);
    both[0] = fx_build_batchnorm(b, "both", both[0], false);
    fx_build_concat(b, 2, both);
}

/* Sums with ReLU behind norms: a plain one, which alone takes the ReLU's backward pass along; one
 * with a ReLU of its own; one with a dropout.  The gradient of the last sum is that of the weights
 * of a convolution, too. */
static void build_sums(struct fx_builder *b, const void *arg)
{
    const struct join *k = arg;
    struct fx_value_shape shape = { 1, k->c[0], k->side, k->side };
    int x = fx_build_input(b, shape), y = fx_build_input(b, shape), norm;

    norm = fx_build_batchnorm(b, "plain", x, false);
    x = fx_build_add(b, norm, x, true);
    norm = fx_build_batchnorm(b, "relu", x, true);
    x = fx_build_add(b, norm, x, true);
    norm = fx_build_dropout(b, fx_build_batchnorm(b, "drop", x, false), 0.3);
    x = fx_build_add(b, norm, x, true);
    norm = fx_build_batchnorm(b, "last", x, false);
    x = fx_build_add(b, norm, x, true);
    fx_build_add(b, x, fx_build_conv(b, "conv", y, k->c[0], 3, 1, 1), true);
}

/* The gradient of the sum is the caller's, which stays. */
static void build_last_sum(struct fx_builder *b, const void *arg)
{
    const struct join *k = arg;
    int x = fx_build_input(b, (struct fx_value_shape){ 1, k->c[0], k->side, k->side });

    fx_build_add(b, fx_build_batchnorm(b, "bn", x, false), x, true);
}

static void run_all(const char *name, op_build build, const struct join *sizes, size_t n_sizes)
{
    for (size_t i = 0; i < n_sizes; i++) {
        const struct join *k = &sizes[i];
        char what[128];
        struct op_case c = { what, build, k, k->n, FX_TRAIN, k->relu };

        snprintf(what, sizeof what, "%s%s %d %d %d channels, %dx%d, batch %d", name,
                 k->relu ? "+relu" : "", k->c[0], k->c[1], k->c[2], k->side, k->side, k->n);
        op_run_case(&c);
    }
}

static void sums_agree(void **state)
{
    static const struct join sizes[] = {
        { { 1 }, 2, 5, 1, false }, { { 3 }, 2, 7, 2, true },   { { 16 }, 2, 32, 1, true },
        { { 31 }, 2, 5, 3, true }, { { 33 }, 2, 7, 5, false }, { { 48 }, 2, 4, 2, true },
    };

    (void)state;
    run_all("add", build_add, sizes, sizeof sizes / sizeof *sizes);
}

static void concatenations_agree(void **state)
{
    static const struct join sizes[] = {
        { { 16, 8 }, 2, 5, 1, false },     { { 3, 1 }, 2, 7, 2, false },
        { { 24, 31 }, 2, 5, 3, false },    { { 32, 16, 48 }, 3, 4, 2, false },
        { { 33, 8, 16 }, 3, 7, 1, false },
    };

    (void)state;
    run_all("concat", build_concat, sizes, sizeof sizes / sizeof *sizes);
}

static void dense_rows_are_joined_too(void **state)
{
    static const struct join sizes[] = { { { 40, 40, 40 }, 3, 1, 3, false },
                                         { { 7, 9 }, 2, 1, 2, false } };

    (void)state;
    run_all("concat", build_concat, sizes, sizeof sizes / sizeof *sizes);
    run_all("add", build_add, sizes, sizeof sizes / sizeof *sizes);
}

static void growing_chains_agree(void **state)
{
    static const struct join sizes[] = {
        { { 16, 8, 8 }, 0, 8, 2, false },
        { { 6, 3, 3 }, 0, 5, 3, false },
        { { 64, 32, 32 }, 0, 4, 2, false },
        { { 16, 16, 16 }, 0, 5, 2, true },
    };
    static const struct join dropping[] = {
        { { 12, 8, 4 }, 0, 5, 2, true },
        { { 8, 16, 5 }, 0, 4, 3, false },
    };

    (void)state;
    run_all("dense chain", build_chain, sizes, sizeof sizes / sizeof *sizes);
    run_all("dense chain with dropout", build_dropping_chain, dropping,
            sizeof dropping / sizeof *dropping);
}

static void copies_stay_where_the_next_norm_wants_others(void **state)
{
    static const struct join sizes[] = { { { 8 }, 0, 6, 2, false }, { { 16 }, 0, 4, 3, false } };

    (void)state;
    run_all("first map again", build_first_again, sizes, sizeof sizes / sizeof *sizes);
    run_all("twins", build_twins, sizes, sizeof sizes / sizeof *sizes);
}

static void sums_behind_norms_agree(void **state)
{
    static const struct join sizes[] = {
        { { 8 }, 2, 6, 2, true },
        { { 20 }, 2, 5, 3, true },
        { { 24 }, 2, 4, 4, true },
        { { 33 }, 2, 3, 5, true },
    };

    (void)state;
    run_all("sums behind norms", build_sums, sizes, sizeof sizes / sizeof *sizes);
    run_all("last sum", build_last_sum, sizes, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_agree),
        cmocka_unit_test(concatenations_agree),
        cmocka_unit_test(dense_rows_are_joined_too),
        cmocka_unit_test(growing_chains_agree),
        cmocka_unit_test(copies_stay_where_the_next_norm_wants_others),
        cmocka_unit_test(sums_behind_norms_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
