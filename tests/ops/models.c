/* Small members of the families under each fusion: training steps and an evaluation on
 * every back end against ref: losses, gradient norms, logits; and residual models at their start.
 */
#include "model_case.h"

#include "net/fusion.h"

static const char *const archs[] = {
    "resnet18:width=8,blocks=1-1-1-1",
    "densenet121:growth=4,blocks=2-2-2-2",
    "improved_wideresnet28_10:depth=10,width=1",
    "preact_resnext29_8x64d:depth=11,cardinality=2,base_width=16,width=16",
    "preact_resnet18:width=8,blocks=1-1-1-1",
    "resnet18:width=8,blocks=1-1-1-1;densenet121:growth=4,blocks=2-2-2-2",
};

/* Under each fusion, the fewest layers: experts alike, and of two widths. */
static const char *const alike = "resnet18:width=8,blocks=1-1";
static const char *const mixed = "resnet18:width=8,blocks=1-1;densenet121:growth=6,blocks=2-2";

enum { STEPS = 2 };

/* What is compared of a run. */
struct trace {
    struct fx_losses losses[STEPS], eval;
    double grad_norm[STEPS];
    float logits[(FX_GRAPH_MAX_EXPERTS + 1) * MODEL_MAX_N * MODEL_CLASSES];
    int n_logits;
};

static void read_logits(struct model_case *m, struct trace *t)
{
    struct fx_err err = { 0 };
    int nodes[FX_GRAPH_MAX_EXPERTS + 1];

    nodes[0] = m->graph.fused;
    for (int k = 0; k < m->graph.n_experts; k++)
        nodes[k + 1] = m->graph.logits[k];
    t->n_logits = 0;
    for (int i = 0; i <= m->graph.n_experts; i++) {
        if (nodes[i] < 0)
            continue;
        model_check(m->backend->value_read(m->eval, nodes[i], false, t->logits + t->n_logits, &err),
                    &err);
        t->n_logits += m->n * MODEL_CLASSES;
    }
}

/* False when there is no such device. */
static bool record(const char *device, const struct model_options *o, struct trace *t)
{
    struct fx_err err = { 0 };
    struct model_case m;

    *t = (struct trace){ 0 };
    if (!model_open(&m, device, o)) {
        model_close(&m);
        return false;
    }
    for (int s = 0; s < STEPS; s++) {
        m.backend->step_begin(m.model);
        model_check(model_gradients(&m, false, &err), &err);
        model_check(model_update(&m, s + 1, &t->grad_norm[s], &err), &err);
        model_check(m.backend->losses_read(m.model, &t->losses[s], &err), &err);
    }
    t->eval = model_evaluate(&m);
    read_logits(&m, t);
    model_close(&m);
    return true;
}

static void near(const char *what, double a, double b, double tolerance)
{
    if (!(fabs(a - b) <= tolerance * fmax(1, fabs(b))))
        fail_msg("%s: %.9g, ref has %.9g", what, a, b);
}

static void compare(const struct trace *a, const struct trace *b, double tolerance)
{
    float largest = 0;

    for (int s = 0; s < STEPS; s++) {
        near("total loss", a->losses[s].total, b->losses[s].total, tolerance);
        near("fused loss", a->losses[s].fused, b->losses[s].fused, tolerance);
        near("expert loss", a->losses[s].expert[1], b->losses[s].expert[1], tolerance);
        near("distillation", a->losses[s].distill[0], b->losses[s].distill[0], tolerance);
        near("gradient norm", a->grad_norm[s], b->grad_norm[s], 10 * tolerance);
    }
    near("evaluation loss", a->eval.total, b->eval.total, tolerance);
    near("ensemble loss", a->eval.ensemble, b->eval.ensemble, tolerance);
    for (int i = 0; i < b->n_logits; i++)
        largest = fmaxf(largest, fabsf(b->logits[i]));
    for (int i = 0; i < b->n_logits; i++)
        near("logit", (double)a->logits[i], (double)b->logits[i],
             tolerance * fmax(1, (double)largest));
}

static void run_pair(const char *arch, const char *fusion, double dropout, enum fx_fused_form fused)
{
    struct model_options o = {
        .arch = arch, .fusion = fusion, .n_experts = 2, .n = 3, .dropout = dropout, .fused = fused
    };
    struct trace ref, other;

    assert_true(record("ref", &o, &ref));
    assert_true(ref.losses[0].total > 0 && isfinite(ref.losses[1].total));
    for (int d = 0; d < N_MODEL_DEVICES; d++) {
        o.precision = FX_PRECISION_FP32;
        if (record(model_devices[d], &o, &other))
            compare(&other, &ref, 1e-4);
        o.precision = FX_PRECISION_BF16;
        if (record(model_devices[d], &o, &other))
            compare(&other, &ref, 5e-2);
    }
}

static void every_architecture_agrees(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        run_pair(archs[i], "multiplicativeAddition", 0, FX_FUSED_HEAD);
        run_pair(archs[i], "multiplicativeAddition", 0.3, FX_FUSED_RESIDUAL);
    }
}

static void every_fusion_agrees(void **state)
{
    (void)state;
    for (int i = 0; fx_fusions[i].name; i++)
        run_pair(alike, fx_fusions[i].name, 0.2, FX_FUSED_HEAD);
    for (int i = 0; fx_fusions[i].name; i++)
        run_pair(mixed, fx_fusions[i].name, 0.2, FX_FUSED_HEAD);
    run_pair(alike, NULL, 0, FX_FUSED_HEAD);
}

/* The gradient of the whole loss with respect to all parameters: moving them along it by a small
 * step lowers the loss by step * norm^2.  Without distillation, whose teachers move as well. */
static void the_whole_gradient_is_the_slope(void **state)
{
    (void)state;
    for (size_t a = 0; a < sizeof archs / sizeof *archs; a++) {
        struct model_options o = {
            .arch = archs[a],
            .fusion = "TransformerBase",
            .n_experts = 2,
            .n = 4,
            .fused = FX_FUSED_RESIDUAL,
        };
        struct fx_sgd sgd = { 0 };
        struct fx_update update = { .step = 1, .grad_scale = 1 };
        struct fx_step_result result;
        struct fx_losses before, after;
        struct fx_err err = { 0 };
        struct model_case m;
        double drop, expected;

        assert_true(model_open(&m, "ref", &o));
        m.loss = (struct fx_loss_config){ .alpha = 0.5f, .label_smoothing = 0.1f };
        m.backend->step_begin(m.model);
        model_check(model_gradients(&m, false, &err), &err);
        model_check(m.backend->losses_read(m.model, &before, &err), &err);
        model_check(model_commit(&m, &update, &sgd, &result, &err), &err);
        for (int g = 0; g < FX_N_GROUPS; g++)
            update.lr[g] = 2e-3 / (result.grad_norm * result.grad_norm);
        model_check(model_commit(&m, &update, &sgd, &result, &err), &err);
        m.backend->step_begin(m.model);
        model_check(model_gradients(&m, false, &err), &err);
        model_check(m.backend->losses_read(m.model, &after, &err), &err);
        drop = (before.total - after.total) / m.n;
        expected = 2e-3;
        if (!(fabs(drop / expected - 1) < 0.05))
            fail_msg("%s: the loss fell by %.6g, expected %.6g", archs[a], drop, expected);
        model_close(&m);
    }
}

/* The fused logits of a residual model that was not trained yet are the mean of its experts'. */
static void starts_as_the_ensemble(const char *device, const struct model_options *o)
{
    struct trace t;
    struct model_case m;
    struct fx_losses losses;
    int n_each = o->n * MODEL_CLASSES;

    if (!model_open(&m, device, o)) {
        model_close(&m);
        return;
    }
    losses = model_evaluate(&m);
    read_logits(&m, &t);
    for (int i = 0; i < n_each; i++) {
        double mean = 0;

        for (int k = 1; k <= o->n_experts; k++)
            mean += (double)t.logits[k * n_each + i] / o->n_experts;
        if (!(fabs((double)t.logits[i] - mean) <= 1e-6 * fmax(1, fabs(mean))))
            fail_msg("%s with %s: fused logit %d is %.9g, the experts' mean %.9g", device,
                     o->fusion, i, (double)t.logits[i], mean);
    }
    assert_float_equal(losses.fused, losses.ensemble, 1e-6 * losses.ensemble);
    assert_int_equal(losses.fused_correct, losses.ensemble_correct);
    model_close(&m);
}

static void residual_models_start_as_the_ensemble(void **state)
{
    (void)state;
    for (int i = 0; fx_fusions[i].name; i++) {
        struct model_options o = { .arch = alike,
                                   .fusion = fx_fusions[i].name,
                                   .n_experts = 3,
                                   .n = 3,
                                   .fused = FX_FUSED_RESIDUAL };

        starts_as_the_ensemble("ref", &o);
        for (int d = 0; d < N_MODEL_DEVICES; d++) {
            o.precision = FX_PRECISION_FP32;
            starts_as_the_ensemble(model_devices[d], &o);
            o.precision = FX_PRECISION_BF16;
            starts_as_the_ensemble(model_devices[d], &o);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_architecture_agrees),
        cmocka_unit_test(every_fusion_agrees),
        cmocka_unit_test(the_whole_gradient_is_the_slope),
        cmocka_unit_test(residual_models_start_as_the_ensemble),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
