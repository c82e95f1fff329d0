/* Norm, clip, AdamW, SGD, the non-finite guard and the commit, over a store with three groups,
 * against literal implementations in double. */
#include "backend/host/step.h"
#include "net/builder.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Three parameters, one a group, of sizes that do not fill chunks, and one BatchNorm's worth of
 * statistics. */
enum { N_GROUP0 = 40001, N_GROUP1 = 37, N_GROUP2 = 16385 };
static const int sizes[FX_N_GROUPS] = { N_GROUP0, N_GROUP1, N_GROUP2 };
enum { STEPS = 5, MEAN = 3, VAR = 4, COUNTER = 5 };

static void add_vector(struct fx_builder *b, const char *name, enum fx_param_kind kind, int n)
{
    struct fx_param_spec spec = { .name = name, .kind = kind, .n_dims = 1, .shape = { n } };

    if (kind == FX_PARAM_COUNTER)
        spec.n_dims = 0;
    assert_true(fx_build_param(b, &spec) >= 0);
}

static void make_graph(struct fx_graph *graph)
{
    struct fx_err err = { 0 };
    struct fx_builder b;

    *graph = (struct fx_graph){ 0 };
    fx_builder_init(&b, graph, &err);
    for (int g = 0; g < FX_N_GROUPS; g++) {
        char name[2] = { (char)('a' + g), 0 };

        fx_builder_component(&b, (enum fx_param_group)g, 0);
        add_vector(&b, name, FX_PARAM_TRAINED, sizes[g]);
    }
    add_vector(&b, "mean", FX_PARAM_RUNNING_MEAN, 3);
    add_vector(&b, "var", FX_PARAM_RUNNING_VAR, 3);
    add_vector(&b, "counter", FX_PARAM_COUNTER, 1);
}

static float start_value(int g, int i)
{
    return (float)sin(0.37 * i + g);
}

/* The gradient of step t: of very different sizes, so that eps and the second moment matter. */
static float gradient(int g, int i, int t)
{
    return (float)(cos(1.3 * i + 2 * g + t) * pow(10, -(i % 7)));
}

struct world {
    struct fx_graph graph;
    struct fx_store store;
};

static void world_open(struct world *w)
{
    struct fx_err err = { 0 };

    make_graph(&w->graph);
    assert_int_equal(fx_store_init(&w->store, &w->graph, true, NULL, &err), FX_OK);
    assert_int_equal(fx_store_allocate(&w->store, &err), FX_OK);
    for (int g = 0; g < FX_N_GROUPS; g++)
        for (int i = 0; i < sizes[g]; i++)
            fx_store_at(&w->store, g, FX_ROLE_VALUE)[i] = start_value(g, i);
}

static void world_close(struct world *w)
{
    fx_store_fini(&w->store);
    fx_graph_fini(&w->graph);
}

static void set_gradients(struct world *w, int t)
{
    for (int g = 0; g < FX_N_GROUPS; g++)
        for (int i = 0; i < sizes[g]; i++)
            fx_store_at(&w->store, g, FX_ROLE_GRAD)[i] = gradient(g, i, t);
}

static struct fx_update adamw_update(int step)
{
    return (struct fx_update){ .step = step,
                               .lr = { 1e-2, 3e-3, 1e-3 },
                               .beta1 = 0.9,
                               .beta2 = 0.999,
                               .eps = 1e-8,
                               .weight_decay = 0.05,
                               .clip = 1.0,
                               .grad_scale = 1.0 };
}

/* The norm of group g's gradients at step t, or of all groups when g < 0. */
static double literal_norm(int g, int t)
{
    double sum = 0;

    for (int h = 0; h < FX_N_GROUPS; h++)
        for (int i = 0; (g < 0 || g == h) && i < sizes[h]; i++)
            sum += pow((double)gradient(h, i, t), 2);
    return sqrt(sum);
}

static double literal_clip(double max_norm, double norm)
{
    double c = max_norm / (norm + 1e-6);

    return c < 1 ? c : 1;
}

/* One element through all steps of torch.optim.AdamW, in double. */
static double literal_adamw(int g, int i)
{
    double p = (double)start_value(g, i), m = 0, v = 0;

    for (int t = 1; t <= STEPS; t++) {
        struct fx_update u = adamw_update(t);
        double d = (double)gradient(g, i, t) * literal_clip(1.0, literal_norm(-1, t));

        p *= 1 - u.lr[g] * u.weight_decay;
        m = u.beta1 * m + (1 - u.beta1) * d;
        v = u.beta2 * v + (1 - u.beta2) * d * d;
        p -= u.lr[g] / (1 - pow(u.beta1, t)) * m / (sqrt(v) / sqrt(1 - pow(u.beta2, t)) + u.eps);
    }
    return p;
}

static double literal_sgd(int g, int i, bool nesterov)
{
    double p = (double)start_value(g, i), m = 0;

    for (int t = 1; t <= STEPS; t++) {
        struct fx_update u = adamw_update(t);
        double d = (double)gradient(g, i, t) * literal_clip(1.0, literal_norm(-1, t));

        d += u.weight_decay * p;
        m = t == 1 ? d : 0.9 * m + d;
        p -= u.lr[g] * (nesterov ? d + 0.9 * m : m);
    }
    return p;
}

static void run_steps(struct world *w, const struct fx_sgd *sgd)
{
    struct fx_losses losses = { .n_images = 1, .total = 1 };
    struct fx_step_result result;
    struct fx_err err = { 0 };

    for (int t = 1; t <= STEPS; t++) {
        struct fx_update u = adamw_update(t);

        set_gradients(w, t);
        assert_int_equal(
            fx_host_update(&w->store, &losses, &u, sgd, &fx_parallel_serial, &result, &err), FX_OK);
        assert_float_equal(result.grad_norm / literal_norm(-1, t), 1, 1e-9);
    }
}

/* A few elements of every group, first and last among them. */
static void check_elements(struct world *w, int optimizer)
{
    for (int g = 0; g < FX_N_GROUPS; g++) {
        for (int j = 0; j < 12; j++) {
            int i = j == 11 ? sizes[g] - 1 : j * (sizes[g] - 1) / 11;
            double expected =
                optimizer == 0 ? literal_adamw(g, i) : literal_sgd(g, i, optimizer == 2);
            double got = (double)fx_store_at(&w->store, g, FX_ROLE_VALUE)[i];

            if (!(fabs(got - expected) < 1e-6))
                fail_msg("group %d, element %d: %.9g, expected %.9g", g, i, got, expected);
        }
    }
}

static void adamw_is_pytorchs(void **state)
{
    struct world w;

    (void)state;
    world_open(&w);
    run_steps(&w, NULL);
    check_elements(&w, 0);
    world_close(&w);
}

static void sgd_is_pytorchs(void **state)
{
    (void)state;
    for (int nesterov = 0; nesterov < 2; nesterov++) {
        struct fx_sgd sgd = { .momentum = 0.9, .nesterov = nesterov };
        struct world w;

        world_open(&w);
        run_steps(&w, &sgd);
        check_elements(&w, 1 + nesterov);
        world_close(&w);
    }
}

/* With SGD of rate 1 and no momentum a step subtracts the clipped gradient itself. */
static void check_clip(const struct fx_update *config, const double expected[FX_N_GROUPS])
{
    struct fx_sgd sgd = { .momentum = 0 };
    struct fx_losses losses = { .n_images = 1, .total = 1 };
    struct fx_update u = *config;
    struct fx_step_result result;
    struct fx_err err = { 0 };
    struct world w;

    for (int g = 0; g < FX_N_GROUPS; g++)
        u.lr[g] = 1;
    world_open(&w);
    set_gradients(&w, 1);
    assert_int_equal(
        fx_host_update(&w.store, &losses, &u, &sgd, &fx_parallel_serial, &result, &err), FX_OK);
    assert_float_equal(result.grad_norm, u.grad_scale * literal_norm(-1, 1), 1e-6);
    for (int g = 0; g < FX_N_GROUPS; g++) {
        double moved =
            (double)start_value(g, 0) - (double)fx_store_at(&w.store, g, FX_ROLE_VALUE)[0];

        assert_float_equal(moved, (double)gradient(g, 0, 1) * expected[g], 2e-7);
    }
    world_close(&w);
}

static void clips_and_scales(void **state)
{
    double norm = literal_norm(-1, 1), n1 = literal_norm(1, 1), all = 1 / norm;

    (void)state;
    check_clip(&(struct fx_update){ .grad_scale = 1 }, (double[]){ 1, 1, 1 });
    check_clip(&(struct fx_update){ .grad_scale = 1, .clip = 1e9 }, (double[]){ 1, 1, 1 });
    check_clip(&(struct fx_update){ .grad_scale = 1, .clip = 1 }, (double[]){ all, all, all });
    check_clip(&(struct fx_update){ .grad_scale = 0.25 }, (double[]){ .25, .25, .25 });
    check_clip(&(struct fx_update){ .grad_scale = 0.5, .clip = 1 }, (double[]){ all, all, all });
    check_clip(&(struct fx_update){ .grad_scale = 1, .clip = 1, .clip_group = { 0, 0.1, 1e9 } },
               (double[]){ 1, 0.1 / n1, 1 });
}

/* Runs the tasks backwards and on two threads: the result must not know. */
struct half {
    size_t begin, end;
    void (*body)(void *ctx, size_t i);
    void *ctx;
};

static void *run_half(void *arg)
{
    struct half *h = arg;

    for (size_t i = h->end; i > h->begin; i--)
        h->body(h->ctx, i - 1);
    return NULL;
}

static void run_two_threads(void *pool, size_t n, void (*body)(void *, size_t), void *ctx)
{
    struct half low = { 0, n / 2, body, ctx }, high = { n / 2, n, body, ctx };
    pthread_t thread;

    (void)pool;
    assert_int_equal(pthread_create(&thread, NULL, run_half, &high), 0);
    run_half(&low);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void threads_do_not_change_a_bit(void **state)
{
    const struct fx_parallel threads = { run_two_threads, NULL };
    struct fx_losses losses = { .n_images = 1, .total = 1 };
    struct fx_update u = adamw_update(1);
    struct fx_step_result a_result, b_result;
    struct fx_err err = { 0 };
    struct world a, b;

    (void)state;
    world_open(&a);
    world_open(&b);
    set_gradients(&a, 1);
    set_gradients(&b, 1);
    assert_int_equal(
        fx_host_update(&a.store, &losses, &u, NULL, &fx_parallel_serial, &a_result, &err), FX_OK);
    assert_int_equal(fx_host_update(&b.store, &losses, &u, NULL, &threads, &b_result, &err), FX_OK);
    assert_memory_equal(&a_result.grad_norm, &b_result.grad_norm, sizeof(double));
    for (int role = 0; role <= FX_ROLE_EXP_AVG_SQ; role++)
        assert_memory_equal(a.store.arenas[role].base, b.store.arenas[role].base,
                            a.store.arenas[role].n_bytes);
    world_close(&a);
    world_close(&b);
}

/* Everything an update may change: values and moments, statistics, counters. */
static uint8_t *snapshot(const struct fx_store *store, size_t *n_bytes)
{
    const struct fx_arena *arenas[] = { &store->arenas[FX_ROLE_VALUE],
                                        &store->arenas[FX_ROLE_EXP_AVG],
                                        &store->arenas[FX_ROLE_EXP_AVG_SQ], &store->statistics };
    uint8_t *bytes;

    *n_bytes = 0;
    for (int i = 0; i < 4; i++)
        *n_bytes += arenas[i]->n_bytes;
    bytes = malloc(*n_bytes);
    assert_non_null(bytes);
    *n_bytes = 0;
    for (int i = 0; i < 4; i++) {
        memcpy(bytes + *n_bytes, arenas[i]->base, arenas[i]->n_bytes);
        *n_bytes += arenas[i]->n_bytes;
    }
    return bytes;
}

static void check_refused(double loss, float bad_gradient)
{
    struct fx_losses losses = { .n_images = 1, .total = loss };
    struct fx_update u = adamw_update(2);
    struct fx_step_result result;
    struct fx_err err = { 0 };
    uint8_t *before, *after;
    struct world w;
    size_t n;

    world_open(&w);
    run_steps(&w, NULL);
    set_gradients(&w, 2);
    fx_store_at(&w.store, 2, FX_ROLE_GRAD)[N_GROUP2 - 1] = bad_gradient;
    before = snapshot(&w.store, &n);
    assert_int_equal(
        fx_host_update(&w.store, &losses, &u, NULL, &fx_parallel_serial, &result, &err),
        FX_EDIVERGED);
    after = snapshot(&w.store, &n);
    assert_memory_equal(before, after, n);
    assert_non_null(strstr(err.msg, "not finite"));
    free(before);
    free(after);
    world_close(&w);
}

static void a_step_that_is_not_finite_leaves_no_trace(void **state)
{
    (void)state;
    check_refused(NAN, 0);
    check_refused(INFINITY, 0);
    check_refused(1, NAN);
    check_refused(1, -INFINITY);
}

static void running_statistics(void **state)
{
    struct fx_node node = {
        .kind = FX_NODE_BATCHNORM, .n_params = 4, .params = { 0, 1, MEAN, VAR }, .momentum = 0.1f
    };
    static const float mean[] = { 1, 2, 3 }, var[] = { 4, 5, 6 };
    struct fx_losses losses = { .n_images = 1, .total = 1 };
    struct fx_update u = adamw_update(1);
    struct fx_step_result result;
    struct fx_err err = { 0 };
    struct world w;
    int64_t counter;
    float got[3];

    (void)state;
    world_open(&w);
    /* an abandoned step, then one of two forwards */
    fx_store_step_begin(&w.store);
    fx_store_gather(&w.store, &node, var, var);
    fx_store_forward_done(&w.store);
    fx_store_step_begin(&w.store);
    for (int i = 0; i < 2; i++) {
        fx_store_gather(&w.store, &node, mean, var);
        fx_store_forward_done(&w.store);
    }
    assert_int_equal(fx_store_read(&w.store, MEAN, FX_ROLE_VALUE, got, &err), FX_OK);
    assert_float_equal(got[2], 0, 0);
    assert_int_equal(
        fx_host_update(&w.store, &losses, &u, NULL, &fx_parallel_serial, &result, &err), FX_OK);
    assert_int_equal(fx_store_read(&w.store, MEAN, FX_ROLE_VALUE, got, &err), FX_OK);
    assert_float_equal(got[2], 0.9 * 0.3 + 0.3, 1e-6);
    assert_int_equal(fx_store_read(&w.store, VAR, FX_ROLE_VALUE, got, &err), FX_OK);
    assert_float_equal(got[0], 0.9 * 0.4 + 0.4, 1e-6);
    assert_int_equal(fx_store_read(&w.store, COUNTER, FX_ROLE_VALUE, &counter, &err), FX_OK);
    assert_int_equal(counter, 2);
    world_close(&w);
}

static void roles_that_do_not_exist_are_refused(void **state)
{
    struct fx_err err = { 0 };
    struct world w;
    float got[3];

    (void)state;
    world_open(&w);
    assert_int_equal(fx_store_read(&w.store, MEAN, FX_ROLE_EXP_AVG, got, &err), FX_EUSAGE);
    assert_string_equal(err.msg, "mean: has no gradient and no optimizer state");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_is_pytorchs),
        cmocka_unit_test(sgd_is_pytorchs),
        cmocka_unit_test(clips_and_scales),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(a_step_that_is_not_finite_leaves_no_trace),
        cmocka_unit_test(running_statistics),
        cmocka_unit_test(roles_that_do_not_exist_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
