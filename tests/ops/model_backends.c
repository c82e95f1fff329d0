/* Whole small models on the back ends that compile graphs, parameter by parameter: gradients and
 * running statistics against ref's, odd widths and mixed lanes; accumulation; the same bytes twice;
 * on the cpu for every number of threads.  Dropout is on where losses and gradients must agree, so
 * its masks are compared too.
 */
#include "model_case.h"

#include "base/sanitizers.h"

/* Bytes are compared where nothing watches; for sanitizers every path once is enough. */
#ifdef __SANITIZE_ADDRESS__
enum { REPEATS = 0, THREADS_MAX = 2 };
#else
enum { REPEATS = 1, THREADS_MAX = 4 };
#endif

static const struct model_options models[] = {
    { .arch = "resnet18:width=12,blocks=1-1-1", .fusion = "multiplicative", .n_experts = 4 },
    { .arch = "resnet18:width=20,blocks=2-1",
      .fusion = "simpleAddition",
      .n_experts = 3,
      .fused = FX_FUSED_RESIDUAL },
    { .arch = "resnet18:width=8,blocks=1-1",
      .fusion = "multiplicative",
      .n_experts = 8,
      .fused = FX_FUSED_RESIDUAL,
      .norms = FX_NORMS_SLOTS },
    { .arch = "densenet121:growth=8,blocks=3-2-2",
      .fusion = "multiplicativeShifted",
      .n_experts = 2 },
    { .arch = "densenet121:growth=5,blocks=2-3", .fusion = "concatenation", .n_experts = 2 },
    { .arch = "densenet121:growth=5,blocks=2-3",
      .fusion = "multiplicativeShifted",
      .n_experts = 2,
      .fused = FX_FUSED_RESIDUAL,
      .freeze = true },
    { .arch = "resnet18:width=12,blocks=1-1",
      .fusion = "simpleAddition",
      .n_experts = 3,
      .freeze = true },
    { .arch = "improved_wideresnet28_10:depth=10,width=2",
      .fusion = "TransformerBase",
      .n_experts = 2 },
    { .arch = "preact_resnext29_8x64d:depth=11,cardinality=8,base_width=8,width=8",
      .fusion = "multiplicativeAddition",
      .n_experts = 2 },
    { .arch = "preact_resnext29_8x64d:depth=11,cardinality=3,base_width=16,width=64",
      .fusion = "multiplicative",
      .n_experts = 1 },
    { .arch = "resnet18:width=8,blocks=1-1;densenet121:growth=4,blocks=2-2-1-1",
      .fusion = NULL,
      .n_experts = 2 },
};
enum { N_MODELS = sizeof models / sizeof *models };

/* One tensor of every trained parameter, joined; owned by the caller. */
static float *read_all(struct model_case *m, enum fx_tensor_role role, size_t *n_all)
{
    struct fx_err err = { 0 };
    size_t n = 0;
    float *all;

    for (int i = 0; i < m->graph.n_params; i++)
        if (m->graph.params[i].kind != FX_PARAM_COUNTER)
            n += (size_t)m->graph.params[i].n_elements;
    all = calloc(n, sizeof *all);
    assert_non_null(all);
    *n_all = 0;
    for (int i = 0; i < m->graph.n_params; i++) {
        const struct fx_param *p = &m->graph.params[i];

        if (p->kind == FX_PARAM_COUNTER || (p->kind != FX_PARAM_TRAINED && role != FX_ROLE_VALUE))
            continue;
        model_check(m->backend->tensor_read(m->model, i, role, all + *n_all, &err), &err);
        *n_all += (size_t)p->n_elements;
    }
    return all;
}

/* |a - b| / |b| */
static double distance(const float *a, const float *b, size_t n)
{
    double difference = 0, norm = 0;

    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];

        difference += d * d;
        norm += (double)b[i] * (double)b[i];
    }
    return norm > 0 ? sqrt(difference / norm) : sqrt(difference);
}

/* Moves norms, biases and a head of zeros off their initial values: while norms are 1 and 0, a norm
 * behind a norm takes its gradient away, and what is left is rounding. */
static void disturb(struct model_case *m)
{
    struct fx_err err = { 0 };

    for (int i = 0; i < m->graph.n_params; i++) {
        const struct fx_param *p = &m->graph.params[i];
        float *values;

        if (!fx_param_is_weight(p) || (p->n_dims != 1 && p->init != FX_INIT_ZERO))
            continue;
        values = calloc((size_t)p->n_elements, sizeof *values);
        assert_non_null(values);
        model_check(m->backend->tensor_read(m->model, i, FX_ROLE_VALUE, values, &err), &err);
        for (int64_t j = 0; j < p->n_elements; j++)
            values[j] += 0.3f * (float)sin((double)(i + 1) * (double)(j + 1));
        model_check(m->backend->tensor_write(m->model, i, FX_ROLE_VALUE, values, &err), &err);
        free(values);
    }
}

/* A step of two micro-batches and an evaluation: the gradients behind each, all values that a
 * checkpoint would hold behind the update, and the loss.  Owned by the caller. */
struct outcome {
    float *first, *both, *values;
    size_t n, n_values;
    double loss;
};

/* False without the device. */
static bool take_step(const char *device, const struct model_options *o, struct model_case *m,
                      struct outcome *out)
{
    struct fx_err err = { 0 };
    double norm;

    if (!model_open(m, device, o)) {
        model_close(m);
        return false;
    }
    disturb(m);
    m->backend->step_begin(m->model);
    model_check(model_gradients(m, false, &err), &err);
    out->first = read_all(m, FX_ROLE_GRAD, &out->n);
    model_check(model_gradients(m, true, &err), &err);
    out->both = read_all(m, FX_ROLE_GRAD, &out->n);
    model_check(model_update(m, 1, &norm, &err), &err);
    out->values = read_all(m, FX_ROLE_VALUE, &out->n_values);
    out->loss = model_evaluate(m).total;
    return true;
}

static void outcome_free(struct outcome *out)
{
    free(out->first);
    free(out->both);
    free(out->values);
}

/* A ReLU that falls on the other side of zero (one value in a million) turns a small parameter's
 * gradient a little, hence two limits: on the whole gradient, and a looser one on each parameter's.
 * In bf16 it happens everywhere, and only the whole gradient says something. */
static void compare_gradients(const struct model_options *o, const struct model_case *m,
                              const float *a, const float *b, size_t n)
{
    bool is_bf16 = o->precision == FX_PRECISION_BF16;
    size_t at = 0;

    if (!(distance(a, b, n) <= (is_bf16 ? 0.3 : 2e-3)))
        fail_msg("%s, %d threads: the gradient is off by %.3g of its norm", o->arch, o->n_threads,
                 distance(a, b, n));
    for (int i = 0; i < m->graph.n_params && !is_bf16; i++) {
        const struct fx_param *p = &m->graph.params[i];
        double d;

        if (p->kind != FX_PARAM_TRAINED)
            continue;
        d = distance(a + at, b + at, (size_t)p->n_elements);
        if (!(d <= 2e-2))
            fail_msg("%s, %d threads: gradient of %s is off by %.3g of its norm", o->arch,
                     o->n_threads, p->name, d);
        at += (size_t)p->n_elements;
    }
}

static struct model_options option(int i, int threads, double dropout, enum fx_precision precision)
{
    struct model_options o = models[i];

    o.n = 3;
    o.n_threads = threads;
    o.dropout = dropout;
    o.precision = precision;
    return o;
}

/* How many threads change what a device does: those of the cpu's lanes. */
static int threads_that_matter(int device, int threads_max)
{
    return strcmp(model_devices[device], "cpu") == 0 ? threads_max : 1;
}

/* Tensor by tensor: values as the optimizer left them, and running statistics. */
static void compare_values(const struct model_options *o, const struct model_case *m,
                           const float *a, const float *b)
{
    for (int p = 0; p < m->graph.n_params; p++) {
        size_t n = (size_t)m->graph.params[p].n_elements;

        if (m->graph.params[p].kind == FX_PARAM_COUNTER)
            continue;
        if (!(distance(a, b, n) <= 1e-4))
            fail_msg("%s, %d threads: %s differs", o->arch, o->n_threads, m->graph.params[p].name);
        a += n;
        b += n;
    }
}

static void check_outcome(const struct model_options *o, const struct model_case *m,
                          const struct outcome *got, const struct outcome *ref)
{
    assert_int_equal(got->n, ref->n);
    assert_int_equal(got->n_values, ref->n_values);
    compare_gradients(o, m, got->first, ref->first, ref->n);
    compare_gradients(o, m, got->both, ref->both, ref->n);
    if (o->precision == FX_PRECISION_FP32)
        compare_values(o, m, got->values, ref->values);
}

/* The same bytes as before. */
static void check_again(const char *device, const struct model_options *o,
                        const struct outcome *before)
{
    struct model_case m;
    struct outcome again;

    assert_true(take_step(device, o, &m, &again));
    assert_memory_equal(again.first, before->first, before->n * sizeof *before->first);
    assert_memory_equal(again.both, before->both, before->n * sizeof *before->both);
    assert_memory_equal(again.values, before->values, before->n_values * sizeof *before->values);
    assert_true(again.loss == before->loss);
    outcome_free(&again);
    model_close(&m);
}

/* One device against ref and against itself, with each number of threads. */
static void check_device(int device, struct model_options o, int threads_max,
                         const struct outcome *ref)
{
    threads_max = threads_that_matter(device, threads_max);
    for (o.n_threads = 1; o.n_threads <= threads_max; o.n_threads++) {
        struct model_case m;
        struct outcome got;

        if (!take_step(model_devices[device], &o, &m, &got))
            return;
        check_outcome(&o, &m, &got, ref);
        if (REPEATS)
            check_again(model_devices[device], &o, &got);
        outcome_free(&got);
        model_close(&m);
    }
}

/* Runs each model on ref once. */
static void steps_agree_and_repeat(void **state)
{
    (void)state;
    for (int i = 0; i < N_MODELS; i++) {
        struct model_options o = option(i, 1, 0.3, FX_PRECISION_FP32);
        struct model_case m;
        struct outcome ref;

        assert_true(take_step("ref", &o, &m, &ref));
        for (int d = 0; d < N_MODEL_DEVICES; d++) {
            o.precision = FX_PRECISION_FP32;
            check_device(d, o, THREADS_MAX, &ref);
            o.precision = FX_PRECISION_BF16;
            check_device(d, o, THREADS_MAX / 2, &ref);
        }
        outcome_free(&ref);
        model_close(&m);
    }
}

/* Two steps of a frozen model: what belongs to the experts stays, to the bit, and their training
 * losses are those of an evaluation. */
static void check_frozen(const char *device, enum fx_precision precision)
{
    struct model_options o = { .arch = "resnet18:width=8,blocks=1-1",
                               .fusion = "multiplicative",
                               .n_experts = 2,
                               .n = 3,
                               .precision = precision,
                               .fused = FX_FUSED_RESIDUAL,
                               .freeze = true };
    struct fx_err err = { 0 };
    struct model_case m;
    float *before, *after;
    size_t n, at = 0;
    double norm;

    if (!model_open(&m, device, &o)) {
        model_close(&m);
        return;
    }
    m.mix.kind = FX_MIX_NONE;
    before = read_all(&m, FX_ROLE_VALUE, &n);
    for (int step = 1; step <= 2; step++) {
        m.backend->step_begin(m.model);
        model_check(model_gradients(&m, false, &err), &err);
        model_check(model_update(&m, step, &norm, &err), &err);
        assert_true(norm > 0);
    }
    after = read_all(&m, FX_ROLE_VALUE, &n);
    for (int i = 0; i < m.graph.n_params; i++) {
        const struct fx_param *p = &m.graph.params[i];
        int64_t counter = 1;

        if (p->kind == FX_PARAM_COUNTER) {
            model_check(m.backend->tensor_read(m.model, i, FX_ROLE_VALUE, &counter, &err), &err);
            assert_true(counter == 0);
            continue;
        }
        assert_true(p->lane == FX_LANE_FUSION || p->kind != FX_PARAM_TRAINED);
        if (p->lane != FX_LANE_FUSION)
            assert_memory_equal(before + at, after + at, (size_t)p->n_elements * sizeof *after);
        else if (strcmp(p->name, "global_head.weight") == 0)
            assert_memory_not_equal(before + at, after + at, (size_t)p->n_elements * sizeof *after);
        at += (size_t)p->n_elements;
    }
    free(before);
    free(after);
    model_close(&m);
}

static void frozen_experts_stay(void **state)
{
    (void)state;
    check_frozen("ref", FX_PRECISION_FP32);
    for (int d = 0; d < N_MODEL_DEVICES; d++) {
        check_frozen(model_devices[d], FX_PRECISION_FP32);
        check_frozen(model_devices[d], FX_PRECISION_BF16);
    }
}

/* ---- the gradient of the images ---- */

static float *image_gradient(struct model_case *m)
{
    struct fx_err err = { 0 };
    float *gradient = calloc((size_t)m->n * MODEL_IMAGE, sizeof *gradient);

    assert_non_null(gradient);
    disturb(m);
    m->loss = (struct fx_loss_config){ .alpha = 0 };
    m->mix.kind = FX_MIX_NONE;
    m->mix.lam = 1;
    m->backend->step_begin(m->model);
    model_check(model_gradients(m, false, &err), &err);
    model_check(m->backend->value_read(m->train, m->graph.input, true, gradient, &err), &err);
    return gradient;
}

/* In evaluation: mean cross-entropy of the fused head; without one, of all experts together. */
static double evaluated_loss(struct model_case *m)
{
    struct fx_losses losses = model_evaluate(m);
    double sum = m->graph.fused >= 0 ? losses.fused : 0;

    for (int k = 0; k < m->graph.n_experts && m->graph.fused < 0; k++)
        sum += losses.expert[k];
    return sum / m->n;
}

/* Adds side * h * the gradient's sign to every third pixel from k on. */
static void move_pixels(struct model_case *m, const float *gradient, int k, float by)
{
    for (size_t i = (size_t)k; i < (size_t)m->n * MODEL_IMAGE; i += 3)
        m->pixels[i] += gradient[i] > 0 ? by : -by;
}

/* Along the signs of the gradient, as attacks go, that loss changes as the gradient says: a third
 * of the pixels at a time.  ReLUs make a loss of many kinks, so steps are small. */
static void check_image_slopes(const char *what, struct model_case *m, const float *gradient)
{
    const float h = 1.0f / 4096;

    for (int k = 0; k < 3; k++) {
        double slope = 0, change = 0;

        for (size_t i = (size_t)k; i < (size_t)m->n * MODEL_IMAGE; i += 3)
            slope += fabs((double)gradient[i]);
        for (int side = 1; side >= -1; side -= 2) {
            move_pixels(m, gradient, k, (float)side * h);
            change += side * evaluated_loss(m);
            move_pixels(m, gradient, k, (float)-side * h);
        }
        change /= 2 * (double)h;
        assert_true(slope > 0);
        if (!(fabs(slope - change) <= 3e-2 * slope))
            fail_msg("%s: slope %d is %.6g, by finite differences %.6g", what, k, slope, change);
    }
}

/* For attacks: every weight is fixed, nothing is dropped, and ref's gradient of the images is that
 * of the evaluation; the other back ends have the same. */
static void image_gradients_agree(void **state)
{
    (void)state;
    for (int i = 0; i < N_MODELS; i++) {
        struct model_options o = option(i, 2, 0.3, FX_PRECISION_FP32);
        struct model_case ref, m;
        float *expected, *got;

        o.freeze = false;
        o.attack = true;
        assert_true(model_open(&ref, "ref", &o));
        expected = image_gradient(&ref);
        check_image_slopes(o.arch, &ref, expected);
        for (int d = 0; d < N_MODEL_DEVICES; d++) {
            if (model_open(&m, model_devices[d], &o)) {
                got = image_gradient(&m);
                if (!(distance(got, expected, (size_t)m.n * MODEL_IMAGE) <= 1e-3))
                    fail_msg("%s on %s: the images' gradient is off by %.3g", o.arch,
                             model_devices[d], distance(got, expected, (size_t)m.n * MODEL_IMAGE));
                free(got);
            }
            model_close(&m);
        }
        free(expected);
        model_close(&ref);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_agree_and_repeat),
        cmocka_unit_test(frozen_experts_stay),
        cmocka_unit_test(image_gradients_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
