/* The kernels of optimizer.cu against lib/backend/host: whole updates of a store with three groups
 * (norm, clip, guards, AdamW, SGD, shadow, commit). */
#include "bf16_bits.h"
#include "kernel_case.h"

#include "backend/host/step.h"
#include "net/builder.h"

enum { N_RUNNING = 300, STEPS = 3 };
static const int sizes[FX_N_GROUPS] = { 40001, 37, 16385 };

/* A store on the host, and the same on the device. */
struct world {
    struct fx_graph graph;
    struct fx_store store;
    float *arenas[FX_ROLE_EXP_AVG_SQ + 1]; /* owned; on the device, as all that follows */
    uint16_t *shadow;                      /* owned; bf16 */
    struct fx_chunk *chunks;               /* owned */
    double *partials;                      /* owned */
    struct fx_k_result *result;            /* owned */
    float *running, *pending;              /* owned; (N_RUNNING) */
};

static void add_param(struct fx_builder *b, const char *name, enum fx_param_kind kind, int n)
{
    struct fx_param_spec spec = { .name = name, .kind = kind, .n_dims = 1, .shape = { n } };

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
        add_param(&b, name, FX_PARAM_TRAINED, sizes[g]);
    }
    add_param(&b, "mean", FX_PARAM_RUNNING_MEAN, N_RUNNING);
}

static float *host_arena(const struct world *w, int role)
{
    return w->store.arenas[role].base;
}

static void *device_bytes(size_t n_bytes)
{
    void *device;

    device_ok(cudaMalloc(&device, n_bytes));
    return device;
}

static void world_open(struct world *w)
{
    struct fx_err err = { 0 };
    float fresh[N_RUNNING];

    *w = (struct world){ 0 };
    make_graph(&w->graph);
    assert_int_equal(fx_store_init(&w->store, &w->graph, true, NULL, &err), FX_OK);
    assert_int_equal(fx_store_allocate(&w->store, &err), FX_OK);
    for (int g = 0; g < FX_N_GROUPS; g++)
        for (int i = 0; i < sizes[g]; i++)
            fx_store_at(&w->store, g, FX_ROLE_VALUE)[i] = noise(1 + (uint32_t)g, (uint32_t)i);
    for (int role = 0; role <= FX_ROLE_EXP_AVG_SQ; role++)
        w->arenas[role] = to_device(host_arena(w, role), w->store.layout.n_trained * sizeof(float));
    w->shadow = device_bytes(w->store.layout.n_trained * sizeof(uint16_t));
    w->partials = device_bytes(w->store.layout.n_chunks * sizeof(double));
    w->result = to_device(&(struct fx_k_result){ .skip = 0 }, sizeof *w->result);
    w->chunks = to_device(w->store.layout.chunks,
                          w->store.layout.n_chunks * sizeof *w->store.layout.chunks);
    for (int i = 0; i < N_RUNNING; i++)
        fresh[i] = noise(8, (uint32_t)i);
    w->pending = to_device(fresh, sizeof fresh);
    memset(fresh, 0, sizeof fresh);
    w->running = to_device(fresh, sizeof fresh);
}

static void world_close(struct world *w)
{
    void *owned[] = { w->shadow, w->chunks, w->partials, w->result, w->running, w->pending };

    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        device_ok(cudaFree(owned[i]));
    for (int role = 0; role <= FX_ROLE_EXP_AVG_SQ; role++)
        device_ok(cudaFree(w->arenas[role]));
    fx_store_fini(&w->store);
    fx_graph_fini(&w->graph);
}

/* Gradients of very different sizes, so that eps and the second moment matter. */
static void set_gradients(struct world *w, int step)
{
    for (int g = 0; g < FX_N_GROUPS; g++)
        for (int i = 0; i < sizes[g]; i++)
            fx_store_at(&w->store, g, FX_ROLE_GRAD)[i] =
                noise((uint32_t)(100 * step + g), (uint32_t)i) * powf(10, (float)(-i % 7));
    device_ok(cudaMemcpy(w->arenas[FX_ROLE_GRAD], host_arena(w, FX_ROLE_GRAD),
                         w->store.layout.n_trained * sizeof(float), cudaMemcpyHostToDevice));
}

static struct fx_update describe_update(int step)
{
    return (struct fx_update){ .step = step,
                               .lr = { 1e-2, 3e-3, 1e-3 },
                               .beta1 = 0.9,
                               .beta2 = 0.999,
                               .eps = 1e-8,
                               .weight_decay = 0.05,
                               .clip = 1.0,
                               .grad_scale = 0.5 };
}

static struct fx_k_update for_device(const struct fx_update *u, const struct fx_sgd *sgd)
{
    struct fx_k_update k = { .clip = u->clip, .grad_scale = u->grad_scale, .is_sgd = sgd };

    for (int g = 0; g < FX_N_GROUPS; g++) {
        k.clip_group[g] = u->clip_group[g];
        k.adamw[g] = fx_adamw_of(u, u->lr[g], 1);
        if (sgd)
            k.sgd[g] = fx_sgd_momentum_of(u, sgd, u->lr[g], 1);
    }
    return k;
}

/* The whole update on the device; what it found out. */
static struct fx_k_result update_device(struct world *w, const struct fx_k_update *update,
                                        double loss, int not_finite)
{
    const struct fx_losses losses = { .n_images = 1, .total = loss };
    struct fx_k_update *u = to_device(update, sizeof *update);
    struct fx_losses *l = to_device(&losses, sizeof losses);
    int *flag = to_device(&not_finite, sizeof not_finite);
    size_t n_chunks = w->store.layout.n_chunks;
    struct fx_k_result result;

    device_ok(fx_k_square_sums(stream, w->chunks, n_chunks, w->arenas[FX_ROLE_GRAD], w->partials));
    device_ok(fx_k_norms(stream, w->chunks, n_chunks, w->partials, u, l, flag, w->result));
    device_ok(fx_k_optimize(stream, w->chunks, n_chunks, u, w->result, w->arenas[FX_ROLE_VALUE],
                            w->arenas[FX_ROLE_GRAD], w->arenas[FX_ROLE_EXP_AVG],
                            w->arenas[FX_ROLE_EXP_AVG_SQ], w->shadow));
    device_ok(fx_k_running_commit(stream, w->result, w->pending, w->running, N_RUNNING));
    from_device(&result, w->result, sizeof result);
    device_ok(cudaFree(flag));
    device_ok(cudaFree(l));
    device_ok(cudaFree(u));
    return result;
}

/* ---- whole updates -------------------------------------------------------------------------- */

/* An arena on the device is the host's: f32 in the same order of operations, but a device fuses
 * multiplications and additions.  Of moments the size varies: they are compared by it, too. */
static void same_arena(const struct world *w, int role, double relative, double absolute)
{
    static const char *const names[] = { "value", "gradient", "exp_avg", "exp_avg_sq" };
    size_t n = w->store.layout.n_trained;
    const float *expected = host_arena(w, role);
    float *got = malloc(n * sizeof *got);

    assert_non_null(got);
    from_device(got, w->arenas[role], n * sizeof *got);
    for (size_t i = 0; i < n; i++) {
        double e = (double)expected[i];

        if (!(fabs((double)got[i] - e) <= relative * fabs(e) + absolute))
            fail_msg("%s %zu is %.9g, expected %.9g", names[role], i, (double)got[i], e);
    }
    free(got);
}

static void shadow_is_rounded(const struct world *w)
{
    size_t n = w->store.layout.n_trained;
    float *values = malloc(n * sizeof *values);
    uint16_t *shadow = malloc(n * sizeof *shadow);

    assert_true(values && shadow);
    from_device(values, w->arenas[FX_ROLE_VALUE], n * sizeof *values);
    from_device(shadow, w->shadow, n * sizeof *shadow);
    for (size_t i = 0; i < n; i++)
        if (shadow[i] != bf16_bits(values[i]))
            fail_msg("shadow %zu is 0x%04x, its value %.9g", i, shadow[i], (double)values[i]);
    free(shadow);
    free(values);
}

static void run_steps(const struct fx_update *config, const struct fx_sgd *sgd)
{
    struct fx_losses losses = { .n_images = 1, .total = 1 };
    struct fx_step_result expected;
    struct fx_err err = { 0 };
    struct world w;

    world_open(&w);
    for (int step = 1; step <= STEPS; step++) {
        struct fx_update u = *config;

        u.step = step;
        set_gradients(&w, step);
        struct fx_k_update k = for_device(&u, sgd);
        struct fx_k_result got = update_device(&w, &k, losses.total, 0);
        assert_int_equal(
            fx_host_update(&w.store, &losses, &u, sgd, &fx_parallel_serial, &expected, &err),
            FX_OK);
        assert_int_equal(got.skip, 0);
        assert_float_equal(got.grad_norm / expected.grad_norm, 1, 1e-12);
        same_arena(&w, FX_ROLE_VALUE, 0, 1e-6);
        same_arena(&w, FX_ROLE_EXP_AVG, 1e-6, 1e-7);
        same_arena(&w, FX_ROLE_EXP_AVG_SQ, 2e-6, 1e-30);
        shadow_is_rounded(&w);
    }
    world_close(&w);
}

static void adamw(void **state)
{
    struct fx_update u = describe_update(1);

    (void)state;
    run_steps(&u, NULL);
}

static void sgd(void **state)
{
    struct fx_update u = describe_update(1);

    (void)state;
    run_steps(&u, &(struct fx_sgd){ .momentum = 0.9, .nesterov = false });
    run_steps(&u, &(struct fx_sgd){ .momentum = 0.9, .nesterov = true });
}

/* With SGD of rate 1 and no momentum a value moves by the scaled gradient. */
static void clips(void **state)
{
    static const struct {
        double clip, clip_group[FX_N_GROUPS];
    } kinds[] = { { 0, { 0 } }, { 1e9, { 0 } }, { 3, { 0 } }, { 1, { 0, 0.1, 1e9 } } };

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct fx_update u = describe_update(1);

        u.clip = kinds[i].clip;
        for (int g = 0; g < FX_N_GROUPS; g++) {
            u.clip_group[g] = kinds[i].clip_group[g];
            u.lr[g] = 1;
        }
        run_steps(&u, &(struct fx_sgd){ .momentum = 0 });
    }
}

/* ---- guards --------------------------------------------------------------------------------- */

/* Everything that an update may change on the device, to be freed. */
static uint8_t *snapshot(const struct world *w, size_t *n_bytes)
{
    size_t arena = w->store.layout.n_trained * sizeof(float);
    const struct {
        const void *data;
        size_t n_bytes;
    } parts[] = { { w->arenas[FX_ROLE_VALUE], arena },
                  { w->arenas[FX_ROLE_EXP_AVG], arena },
                  { w->arenas[FX_ROLE_EXP_AVG_SQ], arena },
                  { w->shadow, arena / 2 },
                  { w->running, N_RUNNING * sizeof(float) } };
    uint8_t *bytes = malloc(4 * arena + N_RUNNING * sizeof(float));

    assert_non_null(bytes);
    *n_bytes = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        from_device(bytes + *n_bytes, parts[i].data, parts[i].n_bytes);
        *n_bytes += parts[i].n_bytes;
    }
    return bytes;
}

static void guards(void **state)
{
    static const struct {
        double loss;
        float gradient;
        int not_finite, skip;
    } cases[] = {
        { 1, 0, 0, 0 },   { NAN, 0, 0, 1 },       { INFINITY, NAN, 1, 1 },
        { 1, NAN, 0, 2 }, { 1, -INFINITY, 1, 2 }, { 1, 0, 1, 3 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fx_update u = describe_update(1);
        struct fx_k_update k = for_device(&u, NULL);
        uint8_t *before, *after;
        struct world w;
        size_t n;

        world_open(&w);
        set_gradients(&w, 1);
        device_ok(cudaMemcpy(w.arenas[FX_ROLE_GRAD] + w.store.layout.n_trained - 1,
                             &cases[i].gradient, sizeof(float), cudaMemcpyHostToDevice));
        before = snapshot(&w, &n);
        assert_int_equal(update_device(&w, &k, cases[i].loss, cases[i].not_finite).skip,
                         cases[i].skip);
        after = snapshot(&w, &n);
        assert_int_equal(memcmp(before, after, n) == 0, cases[i].skip != 0);
        free(after);
        /* What was refused stays refused. */
        set_gradients(&w, 1);
        assert_int_equal(update_device(&w, &k, 1, 0).skip, cases[i].skip);
        after = snapshot(&w, &n);
        assert_int_equal(memcmp(before, after, n) == 0, cases[i].skip != 0);
        free(after);
        free(before);
        world_close(&w);
    }
}

static void commit(void **state)
{
    float running[N_RUNNING];
    struct fx_k_result result = { .skip = 0 };
    struct world w;

    (void)state;
    world_open(&w);
    device_ok(cudaMemcpy(w.result, &result, sizeof result, cudaMemcpyHostToDevice));
    device_ok(fx_k_running_commit(stream, w.result, w.pending, w.running, N_RUNNING - 1));
    from_device(running, w.running, sizeof running);
    for (int i = 0; i < N_RUNNING - 1; i++)
        assert_float_equal(running[i], noise(8, (uint32_t)i), 0);
    assert_float_equal(running[N_RUNNING - 1], 0, 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw),  cmocka_unit_test(sgd),    cmocka_unit_test(clips),
        cmocka_unit_test(guards), cmocka_unit_test(commit),
    };

    return RUN_ON_DEVICE(tests);
}
