/* BATCHNORM in training and evaluation on every back end against ref, ref against finite
 * differences; the running statistics after an update. */
#include "op_case.h"

struct norm {
    int c, side, n;
    bool relu, is_fixed;
};

static void build(struct fx_builder *b, const void *arg)
{
    const struct norm *k = arg;
    int x = fx_build_input(b, (struct fx_value_shape){ 1, k->c, k->side, k->side });

    b->is_fixed = k->is_fixed;
    fx_build_batchnorm(b, "bn", x, k->relu);
}

static const struct norm sizes[] = {
    { 1, 5, 1, false, false },  { 3, 7, 2, true, false },   { 8, 32, 1, false, false },
    { 16, 5, 3, true, false },  { 24, 7, 5, false, false }, { 31, 5, 2, true, false },
    { 33, 7, 3, false, false }, { 48, 4, 1, true, false },  { 5, 6, 3, false, true },
    { 16, 5, 2, true, true },   { 33, 4, 1, false, true },
};

static void run_all(enum fx_mode mode)
{
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const struct norm *k = &sizes[i];
        char what[128];
        struct op_case c = { what, build, k, k->n, mode, k->relu };

        snprintf(what, sizeof what, "batchnorm%s%s %s, %d channels, %dx%d, batch %d",
                 k->relu ? "+relu" : "", k->is_fixed ? ", fixed," : "",
                 mode == FX_TRAIN ? "training" : "evaluation", k->c, k->side, k->side, k->n);
        op_run_case(&c);
    }
}

static void training_agrees(void **state)
{
    (void)state;
    run_all(FX_TRAIN);
}

static void evaluation_agrees(void **state)
{
    (void)state;
    run_all(FX_EVAL);
}

/* With a ReLU the gradients are those without it, of the incoming gradient masked by y > 0. */
static void relu_masks_the_gradient(void **state)
{
    struct norm with = { 5, 6, 3, true, false }, without = { 5, 6, 3, false, false };
    struct op_case c = { "batchnorm with a ReLU", build, &with, 3, FX_TRAIN, true };
    struct op_case plain = { "batchnorm", build, &without, 3, FX_TRAIN, false };
    struct op_run a, b;
    struct fx_err err = { 0 };
    float *y, *dy, *dx_a, *dx_b;
    size_t n, n_blocked = 0;

    (void)state;
    assert_true(op_open(&a, &c, "ref", FX_PRECISION_FP32));
    assert_true(op_open(&b, &plain, "ref", FX_PRECISION_FP32));
    op_fill(&a, FX_TRAIN);
    op_fill(&b, FX_TRAIN);
    op_forward(&a);
    op_forward(&b);
    op_backward(&a);
    n = op_size(&a, a.last);
    y = op_read_value(&b, b.last, false);
    dy = op_read_value(&b, b.last, true);
    for (size_t i = 0; i < n; i++) {
        n_blocked += y[i] <= 0;
        dy[i] = y[i] > 0 ? dy[i] : 0;
    }
    assert_true(n_blocked > n / 10 && n_blocked < n);
    op_check(b.backend->value_write(b.program, b.last, true, dy, &err), &err);
    op_backward(&b);
    dx_a = op_read_value(&a, 0, true);
    dx_b = op_read_value(&b, 0, true);
    op_compare(&c, "ref", "input gradient", dx_a, dx_b, n, 1e-6);
    free(y);
    free(dy);
    free(dx_a);
    free(dx_b);
    op_close(&a);
    op_close(&b);
}

/* Mean and unbiased variance of channel c of x (n, channels, area), the literal way. */
static void moments(const float *x, int n, int channels, int area, int c, double *mean, double *var)
{
    double sum = 0, squares = 0;

    for (int i = 0; i < n; i++)
        for (int j = 0; j < area; j++)
            sum += (double)x[(i * channels + c) * area + j];
    *mean = sum / (n * area);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < area; j++)
            squares += pow((double)x[(i * channels + c) * area + j] - *mean, 2);
    *var = squares / (n * area - 1);
}

/* After one update: 0.9 of the old plus 0.1 of the batch's, and the counter counts. */
static void check_running(const char *device)
{
    struct norm k = { 19, 5, 3, true, false };
    struct op_case c = { "running statistics", build, &k, k.n, FX_TRAIN, true };
    struct fx_update update = {
        .step = 1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .grad_scale = 1
    };
    struct fx_step_result result;
    struct fx_err err = { 0 };
    struct op_run run;
    int64_t counter = 41;
    float *x, *start, *old_mean, *old_var, *mean, *var;

    if (!op_open(&run, &c, device, FX_PRECISION_FP32))
        return;
    op_fill(&run, FX_TRAIN);
    op_check(run.backend->tensor_write(run.model, 4, FX_ROLE_VALUE, &counter, &err), &err);
    op_forward(&run);
    op_backward(&run);
    old_mean = op_read_param(&run, 2, FX_ROLE_VALUE);
    start = op_param(&run, 2);
    op_compare(&c, device, "uncommitted mean", old_mean, start, (size_t)k.c, 0);
    op_check(run.backend->update(run.program, &update, NULL, &err), &err);
    op_check(run.backend->step_end(run.model, &result, &err), &err);
    x = op_input(&run, 0);
    old_var = op_param(&run, 3);
    mean = op_read_param(&run, 2, FX_ROLE_VALUE);
    var = op_read_param(&run, 3, FX_ROLE_VALUE);
    for (int ch = 0; ch < k.c; ch++) {
        double batch_mean, batch_var;

        moments(x, k.n, k.c, k.side * k.side, ch, &batch_mean, &batch_var);
        assert_float_equal(mean[ch], 0.9 * (double)old_mean[ch] + 0.1 * batch_mean, 1e-6);
        assert_float_equal(var[ch], 0.9 * (double)old_var[ch] + 0.1 * batch_var, 1e-6);
    }
    op_check(run.backend->tensor_read(run.model, 4, FX_ROLE_VALUE, &counter, &err), &err);
    assert_int_equal(counter, 42);
    free(x);
    free(start);
    free(old_mean);
    free(old_var);
    free(mean);
    free(var);
    op_close(&run);
}

static void running_statistics_are_committed_by_update(void **state)
{
    (void)state;
    check_running("ref");
    check_running("cpu");
    check_running("cuda");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_agrees),
        cmocka_unit_test(evaluation_agrees),
        cmocka_unit_test(relu_masks_the_gradient),
        cmocka_unit_test(running_statistics_are_committed_by_update),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
