/* The kernel of loss.cu against lib/ops/loss.c: sums, counts, and the logits' gradients;
 * for heads of many shapes, mixed and smoothed targets, distillation, ties and logits out of range.
 */
#include "kernel_case.h"

#include "data/augment.h"
#include "ops/loss.h"

enum { MAX_HEADS = FX_GRAPH_MAX_EXPERTS + 1, FUSED = FX_GRAPH_MAX_EXPERTS };

static const struct config {
    const char *what;
    int n, n_classes, n_experts;
    bool has_fused, trains, is_mixed;
    struct fx_loss_config loss;
    float lam;
} configs[] = {
    { "one expert", 1, 2, 1, false, true, false, { 1, 0, 0, 0, 0, 0 }, 1 },
    { "an expert, smoothed and mixed",
      7,
      100,
      1,
      false,
      true,
      true,
      { 0.5f, 0.1f, 0.2f, 0, 0, 0 },
      0.3f },
    { "two experts", 5, 33, 2, true, true, false, { 0.5f, 0, 0, 0, 0, 0 }, 1 },
    { "experts only, distilled", 9, 10, 4, false, true, false, { 1, 0.1f, 0.5f, 0, 0, 0 }, 1 },
    { "everything", 130, 100, 4, true, true, true, { 0.25f, 0.08f, 0.1f, 0, 0, 0 }, 0.6f },
    { "many", 3, 256, 8, true, true, true, { 1, 0.1f, 0.3f, 0, 0, 0 }, 0.9f },
    { "from the ensemble", 9, 10, 3, true, true, false, { 1, 0, 0, 0.5f, 0, 2 }, 1 },
    { "both distillations",
      5,
      100,
      4,
      true,
      true,
      true,
      { 0.5f, 0.1f, 0.2f, 0.4f, 0.3f, 3 },
      0.6f },
    { "evaluation", 67, 100, 4, true, false, false, { 1, 0, 0, 0, 0, 0 }, 1 },
};

/* Both sides of a test. */
struct heads {
    const struct config *g;
    struct vec logits[MAX_HEADS], gradients[MAX_HEADS];
    struct fx_heads host;
    struct fx_heads device;
    uint8_t *labels;   /* owned */
    uint32_t *partner; /* owned */
    struct fx_targets targets;
    struct device_batch device_batch;
};

static void open_head(struct heads *h, int head)
{
    const struct config *g = h->g;
    size_t n = (size_t)(g->n * g->n_classes);
    struct vec *z = &h->logits[head], *dz = &h->gradients[head];

    vec_open(z, 1, n, 1 + (uint32_t)head);
    vec_open(dz, 1, n, 0);
    for (size_t i = 0; i < n; i++)
        z->host[i] = 4 * rintf(3 * z->host[i]) / 3; /* a few values only: there are ties */
    vec_upload(z);
    if (head == FUSED) {
        h->host.fused = z->host;
        h->device.fused = z->device;
        h->host.d_fused = g->trains ? dz->expected : NULL;
        h->device.d_fused = g->trains ? dz->device : NULL;
    } else {
        h->host.experts[head] = z->host;
        h->device.experts[head] = z->device;
        h->host.d_experts[head] = g->trains ? dz->expected : NULL;
        h->device.d_experts[head] = g->trains ? dz->device : NULL;
    }
}

static bool has_head(const struct config *g, int head)
{
    return head == FUSED ? g->has_fused : head < g->n_experts;
}

static void heads_open(struct heads *h, const struct config *g)
{
    struct fx_k_batch batch = { .n = g->n,
                                .mix = { .kind = g->is_mixed ? FX_MIX_CUTMIX : FX_MIX_NONE,
                                         .lam = g->lam },
                                .has_partner = g->is_mixed,
                                .loss = g->loss };

    *h = (struct heads){ .g = g };
    h->host = (struct fx_heads){ .n = g->n, .n_classes = g->n_classes, .n_experts = g->n_experts };
    h->device =
        (struct fx_heads){ .n = g->n, .n_classes = g->n_classes, .n_experts = g->n_experts };
    for (int head = 0; head < MAX_HEADS; head++)
        if (has_head(g, head))
            open_head(h, head);
    h->labels = malloc((size_t)g->n);
    h->partner = malloc((size_t)g->n * sizeof *h->partner);
    assert_true(h->labels && h->partner);
    for (int i = 0; i < g->n; i++) {
        h->labels[i] = (uint8_t)(i * 7 % g->n_classes);
        h->partner[i] = (uint32_t)((i * 5 + 3) % g->n);
    }
    h->targets = (struct fx_targets){ .labels = h->labels,
                                      .partner = g->is_mixed ? h->partner : NULL,
                                      .lam = g->lam };
    batch_open(&h->device_batch, &batch, g->is_mixed ? h->partner : NULL, h->labels);
}

static void heads_close(struct heads *h)
{
    batch_close(&h->device_batch);
    free(h->partner);
    free(h->labels);
    for (int head = 0; head < MAX_HEADS; head++) {
        if (!has_head(h->g, head))
            continue;
        vec_close(&h->gradients[head]);
        vec_close(&h->logits[head]);
    }
}

/* The losses after `times` batches, on the device. */
static struct fx_losses run_device(struct heads *h, int times)
{
    struct fx_losses losses = { 0 };
    void *device = to_device(&losses, sizeof losses), *scratch;

    device_ok(cudaMalloc(&scratch, fx_k_loss_scratch(h->g->n)));
    for (int i = 0; i < times; i++)
        device_ok(fx_k_loss(stream, &h->device, &h->device_batch.view, device, scratch));
    from_device(&losses, device, sizeof losses);
    device_ok(cudaFree(scratch));
    device_ok(cudaFree(device));
    return losses;
}

static void near(const char *what, const char *which, double got, double expected)
{
    if (!(fabs(got - expected) <= 1e-11 * fmax(1, fabs(expected))))
        fail_msg("%s: %s is %.15g, expected %.15g", what, which, got, expected);
}

static void same_losses(const char *what, const struct fx_losses *got,
                        const struct fx_losses *expected)
{
    assert_int_equal(got->n_images, expected->n_images);
    near(what, "fused", got->fused, expected->fused);
    near(what, "total", got->total, expected->total);
    near(what, "ensemble", got->ensemble, expected->ensemble);
    near(what, "correct", got->correct, expected->correct);
    assert_int_equal(got->fused_correct, expected->fused_correct);
    assert_int_equal(got->ensemble_correct, expected->ensemble_correct);
    for (int k = 0; k < FX_GRAPH_MAX_EXPERTS; k++) {
        near(what, "an expert's loss", got->expert[k], expected->expert[k]);
        near(what, "an expert's distillation", got->distill[k], expected->distill[k]);
        assert_int_equal(got->expert_correct[k], expected->expert_correct[k]);
    }
}

static void losses_and_gradients(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        const struct config *g = &configs[i];
        struct fx_losses expected = { 0 };
        struct heads h;

        heads_open(&h, g);
        fx_loss_heads(&h.host, &h.targets, &g->loss, &expected);
        fx_loss_heads(&h.host, &h.targets, &g->loss, &expected);
        struct fx_losses got = run_device(&h, 2);
        same_losses(g->what, &got, &expected);
        for (int head = 0; g->trains && head < MAX_HEADS; head++)
            if (has_head(g, head))
                vec_check(&h.gradients[head], 1e-8, g->what);
        heads_close(&h);
    }
}

/* One expert's two logits for one image of class 1. */
static struct fx_losses run_pair(float first, float second)
{
    struct fx_losses losses;
    struct heads h;

    heads_open(&h, &configs[0]);
    h.labels[0] = 1;
    device_ok(cudaMemcpy((void *)h.device_batch.view.labels, h.labels, 1, cudaMemcpyHostToDevice));
    h.logits[0].host[0] = first;
    h.logits[0].host[1] = second;
    vec_upload(&h.logits[0]);
    losses = run_device(&h, 1);
    heads_close(&h);
    return losses;
}

static void extreme_logits(void **state)
{
    struct fx_losses losses = run_pair(1e30f, -1e30f);

    (void)state;
    assert_float_equal(losses.total / 2e30, 1, 1e-6);
    losses = run_pair(3, 3);
    assert_int_equal(losses.expert_correct[0], 0); /* of equals the first counts */
    losses = run_pair(NAN, 0);
    assert_false(isfinite(losses.total));
    losses = run_pair(INFINITY, 0);
    assert_false(isfinite(losses.total));
}

/* What does not fit is refused, not computed in part. */
static void too_many_classes(void **state)
{
    struct fx_heads heads = { .n = 1, .n_classes = 257, .n_experts = 1 };
    struct fx_k_batch_view view = { 0 };

    (void)state;
    assert_int_equal(fx_k_loss(stream, &heads, &view, NULL, NULL), cudaErrorInvalidValue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_and_gradients),
        cmocka_unit_test(extreme_logits),
        cmocka_unit_test(too_many_classes),
    };

    return RUN_ON_DEVICE(tests);
}
