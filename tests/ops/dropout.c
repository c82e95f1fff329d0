/* DROPOUT: the same mask on every back end, its statistics, its gradient, and what it depends on.
 */
#include "op_case.h"

#include "ops/dropout.h"

struct drop {
    int tokens, c, side, n;
};

enum { LAYER = 2, EXPERT = 1 };

static void build(struct fx_builder *b, const void *arg)
{
    const struct drop *k = arg;
    int x;

    fx_builder_lane(b, EXPERT);
    b->next_dropout = LAYER;
    x = fx_build_input(b, (struct fx_value_shape){ k->tokens, k->c, k->side, k->side });
    fx_build_dropout(b, x, 0.3);
}

static const struct drop sizes[] = {
    { 1, 1, 5, 1 },  { 1, 3, 7, 2 },   { 1, 16, 8, 3 }, { 1, 31, 5, 2 }, { 1, 20, 5, 2 },
    { 1, 48, 4, 5 }, { 1, 512, 1, 2 }, { 1, 33, 1, 3 }, { 4, 24, 1, 2 },
};

static void masks_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const struct drop *k = &sizes[i];
        char what[128];
        struct op_case c = { what, build, k, k->n, FX_TRAIN, false };

        snprintf(what, sizeof what, "dropout %d tokens, %d channels, %dx%d, batch %d", k->tokens,
                 k->c, k->side, k->side, k->n);
        op_run_case(&c);
        c.mode = FX_EVAL;
        op_run_case(&c);
    }
}

/* ref's mask, element by element, is the function of (seed, lane, layer, epoch, image, element)
 * that the header promises. */
static void the_mask_is_the_documented_one(void **state)
{
    struct drop k = { 1, 5, 3, 2 };
    struct op_case c = { "dropout", build, &k, k.n, FX_TRAIN, false };
    struct op_run run;
    float *x, *y;

    (void)state;
    assert_true(op_open(&run, &c, "ref", FX_PRECISION_FP32));
    op_fill(&run, FX_TRAIN);
    op_forward(&run);
    x = op_input(&run, 0);
    y = op_read_value(&run, run.last, false);
    for (int at = 0; at < 2 * 5 * 9; at++) {
        uint32_t image = (uint32_t)at / 45, channel = (uint32_t)at / 9 % 5,
                 place = (uint32_t)at % 9;
        uint32_t element = place * 5 + channel, words[4];
        uint32_t counter[4] = { 7u << 24 | EXPERT << 16 | LAYER, 3, run.numbers[image],
                                element / 4 };
        bool dropped;

        fx_philox(counter, 42, words);
        dropped = (double)(words[element % 4] >> 8) / 16777216.0 < (double)0.3f;
        assert_float_equal(y[at], dropped ? 0 : x[at] / (1 - 0.3f), 1e-6);
    }
    free(x);
    free(y);
    op_close(&run);
}

/* Of many elements a fraction p is dropped: within four standard deviations. */
static void the_rate_is_p(void **state)
{
    struct fx_node node = { .kind = FX_NODE_DROPOUT, .lane = 0, .p = 0.3f };
    struct fx_dropout d = fx_dropout_of(&node, 1, 1);
    int n = 100000, n_dropped = 0;

    (void)state;
    for (int i = 0; i < n; i++)
        n_dropped += fx_dropout_factor(&d, 0, (uint32_t)i) == 0;
    assert_true(fabs(n_dropped - 0.3 * n) < 4 * sqrt(n * 0.3 * 0.7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_agree),
        cmocka_unit_test(the_mask_is_the_documented_one),
        cmocka_unit_test(the_rate_is_p),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
