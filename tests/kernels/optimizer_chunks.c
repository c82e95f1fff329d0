/* The chunks of optimizer.cu: of any place and size, and as many as there may be. */
#include "kernel_case.h"

#include "ops/optimizer.h"

enum { N_VALUES = 20000 };
static const struct fx_chunk odd_chunks[] = {
    { 0, 1, 0 },
    { 4, 7, 0 },
    { 9, 21, 1 },
    { 24, 24, 1 },
    { 32, 1056, 2 },
    { 1060, 2089, 2 },
    { 2090, 2090 + 16384, 1 },
};
enum { N_ODD = sizeof odd_chunks / sizeof *odd_chunks };

static void sums_of_odd_chunks(const struct fx_chunk *chunks, const struct vec *grads)
{
    double *partials, got[N_ODD];

    device_ok(cudaMalloc((void **)&partials, sizeof got));
    device_ok(fx_k_square_sums(stream, chunks, N_ODD, grads->device, partials));
    from_device(got, partials, sizeof got);
    for (int i = 0; i < N_ODD; i++) {
        uint64_t begin = odd_chunks[i].begin;

        assert_float_equal(got[i], fx_sum_squares(grads->host + begin, odd_chunks[i].end - begin),
                           1e-12 * 16384);
    }
    device_ok(cudaFree(partials));
}

/* No chunk touches what lies beside it, wherever it begins; no shadow is asked for. */
static void odd_places(void **state)
{
    struct fx_adamw adamw = { .beta1 = 0.9f,
                              .beta2 = 0.999f,
                              .one_minus_beta1 = 0.1f,
                              .one_minus_beta2 = 0.001f,
                              .sqrt_bias_correction2 = 0.5f,
                              .eps = 1e-8f };
    struct fx_k_update update = { .adamw = { adamw, adamw, adamw } };
    struct fx_k_result result = { .scale = { 1, 2, 3 } };
    struct vec p, g, m, v;

    (void)state;
    for (int group = 0; group < FX_N_GROUPS; group++) {
        update.adamw[group].weight_decay_factor = (float[]){ 0.999f, 0.9f, 1 }[group];
        update.adamw[group].step_size = (float[]){ 0.1f, 0.2f, 3 }[group];
    }
    vec_open(&p, 1, N_VALUES, 1);
    vec_open(&g, 1, N_VALUES, 2);
    vec_open(&m, 1, N_VALUES, 3);
    vec_open(&v, 1, N_VALUES, 4);
    for (int i = 0; i < N_VALUES; i++)
        v.host[i] = v.expected[i] = fabsf(v.host[i]);
    vec_upload(&v);
    for (int i = 0; i < N_ODD; i++) {
        int group = odd_chunks[i].group;
        uint64_t at = odd_chunks[i].begin, n = odd_chunks[i].end - at;
        struct fx_adamw step = update.adamw[group];

        step.scale = result.scale[group];
        fx_adamw_step(&step, n, p.expected + at, g.host + at, m.expected + at, v.expected + at);
    }
    struct fx_chunk *chunks = to_device(odd_chunks, sizeof odd_chunks);
    struct fx_k_update *u = to_device(&update, sizeof update);
    struct fx_k_result *r = to_device(&result, sizeof result);
    sums_of_odd_chunks(chunks, &g);
    device_ok(
        fx_k_optimize(stream, chunks, N_ODD, u, r, p.device, g.device, m.device, v.device, NULL));
    vec_check(&p, 1e-6, "values");
    vec_check(&m, 1e-6, "exp_avg");
    vec_check(&v, 1e-6, "exp_avg_sq");
    device_ok(cudaFree(r));
    device_ok(cudaFree(u));
    device_ok(cudaFree(chunks));
    vec_close(&v);
    vec_close(&m);
    vec_close(&g);
    vec_close(&p);
}

/* More chunks than a block has threads, their groups mixed, and none at all. */
static void many_chunks(void **state)
{
    enum { N = 3001 };
    struct fx_k_update update = { .clip_group = { 1, 0, 1e9 }, .grad_scale = 2 };
    struct fx_losses losses = { .total = 1 };
    struct fx_chunk chunks[N] = { { 0 } };
    double partials[N], sums[FX_N_GROUPS] = { 0 };
    struct fx_k_result result = { 0 };
    int finite = 0;

    (void)state;
    for (int i = 0; i < N; i++) {
        chunks[i].group = i % 7 % FX_N_GROUPS;
        partials[i] = fabs((double)noise(5, (uint32_t)i));
        sums[chunks[i].group] += partials[i];
    }
    void *owned[] = { to_device(chunks, sizeof chunks),  to_device(partials, sizeof partials),
                      to_device(&update, sizeof update), to_device(&losses, sizeof losses),
                      to_device(&finite, sizeof finite), to_device(&result, sizeof result) };
    device_ok(fx_k_norms(stream, owned[0], N, owned[1], owned[2], owned[3], owned[4], owned[5]));
    from_device(&result, owned[5], sizeof result);
    assert_float_equal(result.grad_norm, 2 * sqrt(sums[0] + sums[1] + sums[2]), 1e-10);
    assert_float_equal(result.scale[0], 2 / (2 * sqrt(sums[0]) + 1e-6), 1e-6);
    assert_float_equal(result.scale[1], 2, 0);
    assert_float_equal(result.scale[2], 2, 0);
    assert_int_equal(result.skip, 0);
    device_ok(fx_k_square_sums(stream, NULL, 0, NULL, NULL));
    device_ok(fx_k_norms(stream, NULL, 0, NULL, owned[2], owned[3], owned[4], owned[5]));
    from_device(&result, owned[5], sizeof result);
    assert_float_equal(result.grad_norm, 0, 0);
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        device_ok(cudaFree(owned[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_places),
        cmocka_unit_test(many_chunks),
    };

    return RUN_ON_DEVICE(tests);
}
