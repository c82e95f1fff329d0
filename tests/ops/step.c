/* The commit point of a step on every back end: nothing but update changes the model, and update
 * changes it only when the step is finite. */
#include "model_case.h"

static const struct model_options options = {
    .arch = "resnet18:width=8,blocks=1-1",
    .fusion = "multiplicative",
    .n_experts = 2,
    .n = 3,
    .dropout = 0.2,
    .fused = FX_FUSED_RESIDUAL,
    .averages = true,
};
static const char *const devices[] = { "ref", "cpu", "cuda" };
enum { N_DEVICES = 3 };

/* Every tensor that a checkpoint would hold, one after the other. */
struct snapshot {
    uint8_t *bytes;
    size_t n;
};

static void snapshot_add(struct snapshot *s, struct model_case *m, int param,
                         enum fx_tensor_role role)
{
    const struct fx_param *p = &m->graph.params[param];
    size_t n = p->kind == FX_PARAM_COUNTER ? 8 : (size_t)p->n_elements * sizeof(float);
    struct fx_err err = { 0 };

    s->bytes = realloc(s->bytes, s->n + n);
    assert_non_null(s->bytes);
    /* a buffer of its own, aligned for any element */
    void *data = malloc(n);

    assert_non_null(data);
    model_check(m->backend->tensor_read(m->model, param, role, data, &err), &err);
    memcpy(s->bytes + s->n, data, n);
    free(data);
    s->n += n;
}

static struct snapshot snapshot_take(struct model_case *m)
{
    struct snapshot s = { 0 };

    for (int i = 0; i < m->graph.n_params; i++) {
        snapshot_add(&s, m, i, FX_ROLE_VALUE);
        if (m->graph.params[i].kind == FX_PARAM_TRAINED) {
            snapshot_add(&s, m, i, FX_ROLE_EXP_AVG);
            snapshot_add(&s, m, i, FX_ROLE_EXP_AVG_SQ);
        }
        if (fx_param_is_averaged(&m->graph.params[i]))
            snapshot_add(&s, m, i, FX_ROLE_AVERAGE);
    }
    return s;
}

static bool snapshot_equal(const struct snapshot *a, const struct snapshot *b)
{
    return a->n == b->n && memcmp(a->bytes, b->bytes, a->n) == 0;
}

static void whole_step(struct model_case *m, int step)
{
    struct fx_err err = { 0 };
    double norm;

    m->backend->step_begin(m->model);
    model_check(model_gradients(m, false, &err), &err);
    model_check(model_update(m, step, &norm, &err), &err);
}

/* A step abandoned before update changes nothing, and the next step is the one that would have
 * been. */
static void an_abandoned_step_leaves_no_trace(void **state)
{
    (void)state;
    for (int d = 0; d < N_DEVICES; d++) {
        struct model_case a, b;
        struct snapshot before, after, straight;
        struct fx_err err = { 0 };

        if (!model_open(&a, devices[d], &options)) {
            model_close(&a);
            continue;
        }
        assert_true(model_open(&b, devices[d], &options));
        whole_step(&a, 1);
        whole_step(&b, 1);
        before = snapshot_take(&a);
        a.backend->step_begin(a.model);
        model_check(model_gradients(&a, false, &err), &err);
        after = snapshot_take(&a);
        assert_true(snapshot_equal(&before, &after));
        free(after.bytes);
        whole_step(&a, 2);
        whole_step(&b, 2);
        after = snapshot_take(&a);
        straight = snapshot_take(&b);
        assert_true(snapshot_equal(&after, &straight));
        assert_false(snapshot_equal(&before, &after));
        free(before.bytes);
        free(after.bytes);
        free(straight.bytes);
        model_close(&a);
        model_close(&b);
    }
}

static _Atomic int stop_after;

static bool stop_soon(void)
{
    return stop_after > 0 && --stop_after == 0;
}

/* A step that is to stop at the poll of this number; back ends with queues do the work, and poll,
 * when the update wants its results. */
static enum fx_status stopped_step(struct model_case *m, int polls)
{
    struct fx_err err = { 0 };
    enum fx_status status;
    double norm;

    stop_after = polls;
    m->backend->step_begin(m->model);
    status = model_gradients(m, false, &err);
    if (status == FX_OK)
        status = model_update(m, 1, &norm, &err);
    stop_after = 0;
    return status;
}

/* should_stop ends the call with FX_ESTOPPED, wherever it says so. */
static void a_stop_ends_the_step(void **state)
{
    (void)state;
    for (int d = 0; d < N_DEVICES; d++) {
        struct model_options o = options;
        struct model_case m;
        struct snapshot before, after;
        int n_stopped = 0;

        o.should_stop = stop_soon;
        stop_after = 0;
        if (!model_open(&m, devices[d], &o)) {
            model_close(&m);
            continue;
        }
        before = snapshot_take(&m);
        /* Until a step polls less often than that. */
        for (int polls = 1; stopped_step(&m, polls) == FX_ESTOPPED; polls += 13) {
            n_stopped++;
            after = snapshot_take(&m);
            assert_true(snapshot_equal(&before, &after));
            free(after.bytes);
        }
        assert_true(n_stopped > 0);
        free(before.bytes);
        model_close(&m);
    }
}

static void a_step_that_is_not_finite_is_refused(void **state)
{
    (void)state;
    for (int d = 0; d < N_DEVICES; d++) {
        struct model_case m;
        struct snapshot before, after;
        struct fx_err err = { 0 };
        double norm;

        if (!model_open(&m, devices[d], &options)) {
            model_close(&m);
            continue;
        }
        whole_step(&m, 1);
        before = snapshot_take(&m);
        m.pixels[MODEL_IMAGE + 5] = INFINITY;
        m.backend->step_begin(m.model);
        model_check(model_gradients(&m, false, &err), &err);
        assert_int_equal(model_update(&m, 2, &norm, &err), FX_EDIVERGED);
        after = snapshot_take(&m);
        assert_true(snapshot_equal(&before, &after));
        free(before.bytes);
        free(after.bytes);
        model_close(&m);
    }
}

static void an_evaluation_changes_nothing(void **state)
{
    (void)state;
    for (int d = 0; d < N_DEVICES; d++) {
        struct model_case m;
        struct snapshot before, after;
        struct fx_losses first, second;

        if (!model_open(&m, devices[d], &options)) {
            model_close(&m);
            continue;
        }
        whole_step(&m, 1);
        before = snapshot_take(&m);
        first = model_evaluate(&m);
        second = model_evaluate(&m);
        after = snapshot_take(&m);
        assert_true(snapshot_equal(&before, &after));
        assert_int_equal(first.n_images, m.n);
        assert_memory_equal(&first.total, &second.total, sizeof(double));
        free(before.bytes);
        free(after.bytes);
        model_close(&m);
    }
}

/* accumulate adds: two equal micro-batches have twice the gradient, and the same norm at
 * grad_scale 1/2. */
static void gradients_accumulate(void **state)
{
    (void)state;
    for (int d = 0; d < N_DEVICES; d++) {
        struct fx_update update = { .step = 1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8 };
        struct fx_step_result once, twice;
        struct fx_err err = { 0 };
        struct model_case m;

        if (!model_open(&m, devices[d], &options)) {
            model_close(&m);
            continue;
        }
        m.backend->step_begin(m.model);
        model_check(model_gradients(&m, false, &err), &err);
        update.grad_scale = 1;
        model_check(model_commit(&m, &update, NULL, &once, &err), &err);
        m.backend->step_begin(m.model);
        model_check(model_gradients(&m, false, &err), &err);
        model_check(model_gradients(&m, true, &err), &err);
        update.grad_scale = 0.5;
        model_check(model_commit(&m, &update, NULL, &twice, &err), &err);
        assert_float_equal(twice.grad_norm / once.grad_norm, 1, 1e-5);
        model_close(&m);
    }
}

/* Enqueues a step whose images begin with `pixel`, at its own rates. */
static void launch_step(struct model_case *m, int step, float pixel)
{
    struct fx_update update = { .step = step,
                                .lr = { 1e-5 * step, 1e-4 * step, 1e-4 },
                                .beta1 = 0.9,
                                .beta2 = 0.999,
                                .eps = 1e-8,
                                .grad_scale = 1,
                                .ema = MODEL_EMA };
    struct fx_err err = { 0 };

    m->pixels[0] = pixel;
    m->backend->step_begin(m->model);
    model_check(model_gradients(m, false, &err), &err);
    model_check(m->backend->update(m->train, &update, NULL, &err), &err);
}

static enum fx_status end_step(struct model_case *m, struct fx_step_result *result)
{
    struct fx_err err = { 0 };

    return m->backend->step_end(m->model, result, &err);
}

enum { AHEAD_STEPS = 5 };

/* Steps one by one, or each begun before the last one ends. */
static void run_steps(struct model_case *m, bool ahead, struct fx_step_result *results)
{
    launch_step(m, 1, 0);
    for (int step = 1; step <= AHEAD_STEPS; step++) {
        if (ahead && step < AHEAD_STEPS)
            launch_step(m, step + 1, (float)step);
        assert_int_equal(end_step(m, &results[step - 1]), FX_OK);
        if (!ahead && step < AHEAD_STEPS)
            launch_step(m, step + 1, (float)step);
    }
}

static void check_ahead(struct model_case *a, struct model_case *b)
{
    struct fx_step_result one_by_one[AHEAD_STEPS] = { 0 }, ahead[AHEAD_STEPS] = { 0 };
    struct snapshot x, y;

    run_steps(a, false, one_by_one);
    run_steps(b, true, ahead);
    for (int i = 0; i < AHEAD_STEPS; i++) {
        assert_true(ahead[i].grad_norm == one_by_one[i].grad_norm);
        assert_memory_equal(&ahead[i].losses, &one_by_one[i].losses, sizeof ahead[i].losses);
    }
    x = snapshot_take(a);
    y = snapshot_take(b);
    assert_true(snapshot_equal(&x, &y));
    free(x.bytes);
    free(y.bytes);
}

/* The second of two steps under way is refused with the first; then training goes on. */
static void check_refusal_ahead(struct model_case *a, struct model_case *b)
{
    struct fx_step_result result = { 0 };
    struct snapshot before = snapshot_take(b), after, straight;

    launch_step(b, AHEAD_STEPS + 1, NAN);
    launch_step(b, AHEAD_STEPS + 2, 1);
    assert_int_equal(end_step(b, &result), FX_EDIVERGED);
    after = snapshot_take(b);
    assert_true(snapshot_equal(&before, &after));
    free(after.bytes);
    launch_step(a, AHEAD_STEPS + 1, 2);
    launch_step(b, AHEAD_STEPS + 1, 2);
    assert_int_equal(end_step(a, &result), FX_OK);
    assert_int_equal(end_step(b, &result), FX_OK);
    straight = snapshot_take(a);
    after = snapshot_take(b);
    assert_true(snapshot_equal(&straight, &after));
    assert_false(snapshot_equal(&before, &after));
    free(before.bytes);
    free(after.bytes);
    free(straight.bytes);
}

/* A step may be begun before the one before it ends: the results of each and all bytes are the
 * same. */
static void steps_run_ahead(void **state)
{
    (void)state;
    for (int d = 0; d < N_DEVICES; d++) {
        struct model_case a, b;

        if (!model_open(&a, devices[d], &options)) {
            model_close(&a);
            continue;
        }
        assert_true(model_open(&b, devices[d], &options));
        if (a.backend->runs_ahead) {
            check_ahead(&a, &b);
            check_refusal_ahead(&a, &b);
        }
        model_close(&a);
        model_close(&b);
    }
}

/* The plan is known before the memory: every role of a training model has a size. */
static void the_plan_is_known_first(void **state)
{
    (void)state;
    for (int d = 0; d < N_DEVICES; d++) {
        struct fx_memory memory;
        struct model_case m;
        int64_t trained = 0;

        if (!model_open(&m, devices[d], &options)) {
            model_close(&m);
            continue;
        }
        m.backend->model_memory(m.model, &memory);
        for (int i = 0; i < m.graph.n_params; i++)
            if (m.graph.params[i].kind == FX_PARAM_TRAINED)
                trained += m.graph.params[i].n_elements;
        assert_true(memory.parameters >= (size_t)trained * sizeof(float));
        assert_true(memory.gradients >= (size_t)trained * sizeof(float));
        assert_true(memory.optimizer >= 3 * (size_t)trained * sizeof(float));
        assert_true(memory.activations > (size_t)m.n * MODEL_IMAGE * sizeof(float));
        model_close(&m);
    }
}

/* A model that does not train: no gradients, no moments, the same evaluation. */
static void a_model_may_only_evaluate(void **state)
{
    (void)state;
    for (int d = 0; d < N_DEVICES; d++) {
        struct model_options o = options;
        struct fx_memory memory;
        struct fx_losses losses, expected;
        struct model_case m, trainer;

        o.only_evaluates = true;
        if (!model_open(&m, devices[d], &o)) {
            model_close(&m);
            continue;
        }
        assert_true(model_open(&trainer, devices[d], &options));
        m.backend->model_memory(m.model, &memory);
        assert_int_equal(memory.gradients, 0);
        assert_int_equal(memory.optimizer, 0);
        losses = model_evaluate(&m);
        expected = model_evaluate(&trainer);
        assert_float_equal(losses.total, expected.total, 1e-9);
        model_close(&m);
        model_close(&trainer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_abandoned_step_leaves_no_trace),
        cmocka_unit_test(a_stop_ends_the_step),
        cmocka_unit_test(a_step_that_is_not_finite_is_refused),
        cmocka_unit_test(an_evaluation_changes_nothing),
        cmocka_unit_test(gradients_accumulate),
        cmocka_unit_test(steps_run_ahead),
        cmocka_unit_test(the_plan_is_known_first),
        cmocka_unit_test(a_model_may_only_evaluate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
