/* The loop over evaluation batches. */
#include "run/evaluate.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "base/stop.h"
#include "run/metric_accumulator_internal.h"

#include <stdlib.h>
#include <string.h>

struct evaluation {
    struct fx_engine *engine;
    const struct fx_dataset *dataset;
    const struct fx_subset *subset;
    fx_logits_sink sink;
    void *ctx;           /* borrowed: the sink's */
    float *pixels;       /* owned; (eval_n, 3, 32, 32) */
    float *logits;       /* owned; (K + 1, eval_n, classes): the experts, then the fused head */
    int64_t *numbers;    /* owned; (eval_n) */
    uint8_t *labels;     /* owned; (eval_n) */
    uint32_t *positions; /* owned; (eval_n) */
    bool *is_right;      /* owned; (eval_n): of the head that was read last, the fused one */
    struct fx_metric_accumulator fused, expert[FX_GRAPH_MAX_EXPERTS], ensemble;
    int64_t fused_only, ensemble_only;
};

static enum fx_status evaluation_init(struct evaluation *ev, struct fx_err *err)
{
    size_t n = (size_t)ev->engine->eval_n;
    size_t heads = (size_t)ev->engine->graph->n_experts + 1;

    ev->pixels = malloc(n * FX_IMAGE_BYTES * sizeof(float));
    ev->logits = malloc(heads * n * (size_t)ev->engine->graph->n_classes * sizeof(float));
    ev->numbers = malloc(n * sizeof *ev->numbers);
    ev->labels = malloc(n);
    ev->positions = malloc(n * sizeof *ev->positions);
    ev->is_right = malloc(n * sizeof *ev->is_right);
    if (!ev->pixels || !ev->logits || !ev->numbers || !ev->labels || !ev->positions ||
        !ev->is_right)
        return fx_fail(err, FX_EFAIL, "out of memory for an evaluation batch");
    return FX_OK;
}

static void evaluation_fini(struct evaluation *ev)
{
    free(ev->pixels);
    free(ev->logits);
    free(ev->numbers);
    free(ev->labels);
    free(ev->positions);
    free(ev->is_right);
}

static float *head_logits(struct evaluation *ev, int head)
{
    const struct fx_graph *graph = ev->engine->graph;
    int row = head < 0 ? graph->n_experts : head;

    return ev->logits + (size_t)row * (size_t)ev->engine->eval_n * (size_t)graph->n_classes;
}

static int64_t image_number(const struct fx_subset *subset, int64_t i)
{
    return !subset->numbers ? i : subset->numbers[i];
}

/* One forward pass over images [first, first + n) of the subset, filled up to the program's batch.
 */
static enum fx_status forward(struct evaluation *ev, int64_t first, int n, struct fx_err *err)
{
    struct fx_engine *engine = ev->engine;
    const struct fx_subset *subset = ev->subset;

    for (int i = 0; i < engine->eval_n; i++) {
        ev->numbers[i] = image_number(subset, first + (i < n ? i : n - 1));
        ev->labels[i] = subset->images->fine[ev->numbers[i]];
        ev->positions[i] = (uint32_t)ev->numbers[i];
    }
    fx_normalize_batch(subset->images, ev->dataset->mean, ev->dataset->std, ev->numbers,
                       engine->eval_n, ev->pixels);
    struct fx_batch batch = {
        .n = engine->eval_n, .pixels = ev->pixels, .numbers = ev->positions, .labels = ev->labels
    };
    if (subset->change)
        FX_TRY(subset->change(subset->change_ctx, &batch, ev->pixels, err));
    FX_TRY(engine->backend->input(engine->eval, &batch, err));
    return engine->backend->forward(engine->eval, err);
}

static enum fx_status read_head(struct evaluation *ev, int head, int node, int64_t first, int n,
                                struct fx_metric_accumulator *sums, struct fx_err *err)
{
    float *logits = head_logits(ev, head);
    int classes = ev->engine->graph->n_classes;

    FX_TRY(ev->engine->backend->value_read(ev->engine->eval, node, false, logits, err));
    for (int i = 0; i < n; i++)
        ev->is_right[i] =
            fx_metric_add(sums, logits + (size_t)i * (size_t)classes, classes, ev->labels[i]);
    return !ev->sink ? FX_OK : ev->sink(ev->ctx, head, first, n, logits, err);
}

/* The ensemble's logits are the mean of the experts'; made in place of expert 0's. */
static enum fx_status accumulate_ensemble(struct evaluation *ev, int64_t first, int n,
                                          struct fx_err *err)
{
    const struct fx_graph *graph = ev->engine->graph;
    size_t classes = (size_t)graph->n_classes;
    float *mean = head_logits(ev, 0);

    for (size_t i = 0; i < (size_t)n * classes; i++) {
        double sum = 0;
        for (int k = 0; k < graph->n_experts; k++)
            sum += head_logits(ev, k)[i];
        mean[i] = (float)(sum / graph->n_experts);
    }
    for (int i = 0; i < n; i++) {
        bool is_right =
            fx_metric_add(&ev->ensemble, mean + (size_t)i * classes, (int)classes, ev->labels[i]);

        ev->fused_only += ev->is_right[i] && !is_right;
        ev->ensemble_only += !ev->is_right[i] && is_right;
    }
    return !ev->sink ? FX_OK : ev->sink(ev->ctx, FX_HEAD_ENSEMBLE, first, n, mean, err);
}

static enum fx_status evaluate_batch(struct evaluation *ev, int64_t first, int n,
                                     struct fx_err *err)
{
    const struct fx_graph *graph = ev->engine->graph;

    FX_TRY(forward(ev, first, n, err));
    for (int k = 0; k < graph->n_experts; k++)
        FX_TRY(read_head(ev, k, graph->logits[k], first, n, &ev->expert[k], err));
    if (graph->fused >= 0)
        FX_TRY(read_head(ev, FX_HEAD_FUSED, graph->fused, first, n, &ev->fused, err));
    return accumulate_ensemble(ev, first, n, err);
}

static struct fx_score score(const struct fx_metric_accumulator *sums)
{
    return (struct fx_score){ .loss = fx_metric_loss(sums),
                              .accuracy = fx_metric_accuracy(sums),
                              .ece = fx_metric_ece(sums) };
}

static void evaluation_result(const struct evaluation *ev, double seconds,
                              struct fx_measure *measure)
{
    const struct fx_graph *graph = ev->engine->graph;

    *measure = (struct fx_measure){ .n = ev->subset->n,
                                    .n_experts = graph->n_experts,
                                    .has_fused = graph->fused >= 0,
                                    .ensemble = score(&ev->ensemble),
                                    .seconds = seconds };
    if (measure->has_fused) {
        measure->fused = score(&ev->fused);
        measure->fused_only = ev->fused_only;
        measure->ensemble_only = ev->ensemble_only;
    }
    for (int k = 0; k < graph->n_experts; k++)
        measure->expert[k] = score(&ev->expert[k]);
}

static void show_progress(const struct fx_subset *subset, int64_t done, double seconds)
{
    char speed[FX_NUMBER_BYTES];

    if (fx_log_progress_wanted())
        fx_log_progress("%s: %lld/%lld images, %s img/s", subset->name, (long long)done,
                        (long long)subset->n,
                        fx_number_rate((double)done / seconds, speed, sizeof speed));
}

enum fx_status fx_evaluate(struct fx_engine *engine, const struct fx_dataset *dataset,
                           const struct fx_subset *subset, fx_logits_sink sink, void *ctx,
                           struct fx_measure *measure, struct fx_err *err)
{
    struct evaluation ev = {
        .engine = engine, .dataset = dataset, .subset = subset, .sink = sink, .ctx = ctx
    };
    double start = fx_seconds();
    enum fx_status status = FX_OK;

    FX_TRY_OUT(evaluation_init(&ev, err));
    engine->backend->step_begin(engine->model);
    for (int64_t first = 0; first < subset->n; first += engine->eval_n) {
        int64_t left = subset->n - first;
        int n = left < engine->eval_n ? (int)left : engine->eval_n;
        if (fx_stop_requested()) {
            status = fx_fail(err, FX_ESTOPPED, "stopped");
            goto out;
        }
        FX_TRY_OUT(evaluate_batch(&ev, first, n, err));
        show_progress(subset, first + n, fx_seconds() - start);
    }
    evaluation_result(&ev, fx_seconds() - start, measure);
out:
    fx_log_progress_end();
    evaluation_fini(&ev);
    return status;
}
