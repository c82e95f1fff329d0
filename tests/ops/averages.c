/* Moving averages of weights and running statistics on every back end: they follow the values, and
 * a model can be made to compute with them. */
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

/* All that is averaged, in one role. */
static float *read_averaged(struct model_case *m, enum fx_tensor_role role, size_t *n)
{
    struct fx_err err = { 0 };
    float *all = NULL;

    *n = 0;
    for (int i = 0; i < m->graph.n_params; i++) {
        size_t more = (size_t)m->graph.params[i].n_elements;

        if (!fx_param_is_averaged(&m->graph.params[i]))
            continue;
        all = realloc(all, (*n + more) * sizeof *all);
        assert_non_null(all);
        float *one = malloc(more * sizeof *one);
        assert_non_null(one);
        model_check(m->backend->tensor_read(m->model, i, role, one, &err), &err);
        memcpy(all + *n, one, more * sizeof *one);
        free(one);
        *n += more;
    }
    return all;
}

/* average = 0.75 average + 0.25 value after each step, of weights and running statistics. */
static void follow(struct model_case *m)
{
    struct fx_err err = { 0 };
    double norm;
    size_t n;
    float *average = read_averaged(m, FX_ROLE_VALUE, &n);

    for (int step = 1; step <= 3; step++) {
        m->backend->step_begin(m->model);
        model_check(model_gradients(m, false, &err), &err);
        model_check(model_update(m, step, &norm, &err), &err);
        float *value = read_averaged(m, FX_ROLE_VALUE, &n);
        float *found = read_averaged(m, FX_ROLE_AVERAGE, &n);
        for (size_t i = 0; i < n; i++) {
            average[i] = (float)(MODEL_EMA * average[i] + (1 - MODEL_EMA) * value[i]);
            assert_float_equal(found[i], average[i], 1e-6 * (1 + fabs((double)average[i])));
        }
        free(value);
        free(found);
    }
    free(average);
}

/* A model whose values are the averages of another one. */
static void load_averages(struct model_case *to, struct model_case *from)
{
    struct fx_err err = { 0 };

    for (int i = 0; i < from->graph.n_params; i++) {
        const struct fx_param *p = &from->graph.params[i];
        if (!fx_param_is_averaged(p))
            continue;
        float *values = malloc((size_t)p->n_elements * sizeof *values);
        assert_non_null(values);
        model_check(from->backend->tensor_read(from->model, i, FX_ROLE_AVERAGE, values, &err),
                    &err);
        model_check(to->backend->tensor_write(to->model, i, FX_ROLE_VALUE, values, &err), &err);
        free(values);
    }
}

/* Swapped, a model computes with its averages; swapped again, it is what it was. */
static void averages_follow_and_can_be_used(void **state)
{
    (void)state;
    for (int d = 0; d < 2 * N_DEVICES; d++) {
        struct model_options o = options;
        struct model_case m, other;
        float *values, *averages, *now;
        size_t n;
        struct fx_losses losses, as_loaded, plain;
        struct fx_err err = { 0 };

        o.precision = d < N_DEVICES ? FX_PRECISION_FP32 : FX_PRECISION_BF16;
        if (!model_open(&m, devices[d % N_DEVICES], &o)) {
            model_close(&m);
            continue;
        }
        assert_true(model_open(&other, devices[d % N_DEVICES], &o));
        follow(&m);
        load_averages(&other, &m);
        values = read_averaged(&m, FX_ROLE_VALUE, &n);
        averages = read_averaged(&m, FX_ROLE_AVERAGE, &n);
        plain = model_evaluate(&m);
        model_check(m.backend->averages_swap(m.model, &err), &err);
        losses = model_evaluate(&m);
        as_loaded = model_evaluate(&other);
        assert_true(losses.total == as_loaded.total && losses.total != plain.total);
        model_check(m.backend->averages_swap(m.model, &err), &err);
        now = read_averaged(&m, FX_ROLE_VALUE, &n);
        assert_memory_equal(now, values, n * sizeof *now);
        free(now);
        now = read_averaged(&m, FX_ROLE_AVERAGE, &n);
        assert_memory_equal(now, averages, n * sizeof *now);
        free(now);
        free(values);
        free(averages);
        model_close(&m);
        model_close(&other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(averages_follow_and_can_be_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
