/* Error in percent by corruption and severity, and its means.
 *
 * The mean corruption error is, over the 15 corruptions of the benchmark as far as they are there,
 * the mean of the errors at the five severities; with a baseline, of the sum of these errors as a
 * part of the baseline's sum.  Source: Hendrycks and Dietterich, "Benchmarking Neural Network
 * Robustness to Common Corruptions and Perturbations" (2019), section 4. */
#include "run/corruption_events.h"

#include "base/jsonl.h"
#include "base/log.h"
#include "data/corrupted.h"
#include "run/assessment.h"
#include "track/events.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const benchmark[] = {
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
};

static bool is_counted(const char *name)
{
    for (size_t i = 0; i < sizeof benchmark / sizeof *benchmark; i++)
        if (strcmp(benchmark[i], name) == 0)
            return true;
    return false;
}

struct robustness {
    struct fx_engine *engine;         /* borrowed */
    const struct fx_dataset *dataset; /* borrowed */
    struct fx_corrupted corrupted;    /* owned */
    int64_t n;                        /* images of each severity */
    fx_line_sink sink;
    void *ctx;
    int n_counted;
    double sum[FX_HEADS_MAX];          /* of the counted corruptions' mean errors */
    double ratio[FX_HEADS_MAX];        /* of their parts of the baseline's */
    double baseline[FX_CORRUPTED_MAX]; /* error summed over severities; NaN: not there */
};

static enum fx_status finish(const struct robustness *all, json_t *event, bool is_good,
                             struct fx_err *err)
{
    char *line = event && is_good ? fx_json_line(event) : NULL;

    json_decref(event);
    return line ? all->sink(all->ctx, line, err) : fx_fail(err, FX_EFAIL, "metrics: out of memory");
}

/* ---- the baseline ---------------------------------------------------------------------------- */

/* The error of a model that is fused, or the mean of its experts' logits. */
static double error_of(const json_t *event)
{
    const json_t *fused = json_object_get(event, "error");
    const json_t *value = fused ? fused : json_object_get(event, "ensemble_error");

    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void take_baseline(struct robustness *all, const json_t *event, int *n_found)
{
    const char *name = fx_event_text(event, "corruption");

    for (int i = 0; i < all->corrupted.n_corruptions; i++)
        if (name && strcmp(all->corrupted.name[i], name) == 0) {
            all->baseline[i] += error_of(event);
            n_found[i]++;
        }
}

static enum fx_status read_baseline(struct robustness *all, const char *path, struct fx_err *err)
{
    FILE *in = fopen(path, "re");
    struct fx_events events = { .reader = { .in = in, .name = path } };
    int n_found[FX_CORRUPTED_MAX] = { 0 };
    enum fx_status status = FX_OK;
    json_t *event = NULL;
    const char *kind;

    if (!in)
        return fx_fail_errno(err, "%s", path);
    while ((status = fx_events_next(&events, &event, &kind, err)) == FX_OK && event) {
        if (strcmp(kind, "corruption") == 0)
            take_baseline(all, event, n_found);
        json_decref(event);
    }
    for (int i = 0; i < all->corrupted.n_corruptions && status == FX_OK; i++)
        if (is_counted(all->corrupted.name[i]) &&
            (n_found[i] != FX_CORRUPTED_SEVERITIES || !(all->baseline[i] > 0)))
            status = fx_fail(err, FX_EINPUT, "%s: has no errors of %s at %d severities", path,
                             all->corrupted.name[i], FX_CORRUPTED_SEVERITIES);
    fx_events_fini(&events);
    fclose(in);
    return status;
}

/* ---- measuring ------------------------------------------------------------------------------- */

static void errors_of(const struct fx_measure *measure, double errors[FX_HEADS_MAX])
{
    for (int k = 0; k < measure->n_experts; k++)
        errors[k] = 100 - measure->expert[k].accuracy;
    errors[measure->n_experts] = 100 - measure->ensemble.accuracy;
    errors[measure->n_experts + 1] = 100 - measure->fused.accuracy;
}

static enum fx_status measure_severity(struct robustness *all, int corruption, int severity,
                                       double errors[FX_HEADS_MAX], struct fx_err *err)
{
    const struct fx_corrupted *corrupted = &all->corrupted;
    size_t first = (size_t)(severity - 1) * (size_t)corrupted->n;
    const struct fx_image_set images = { .images =
                                             corrupted->images[corruption] + first * FX_IMAGE_BYTES,
                                         .fine = corrupted->fine,
                                         .coarse = corrupted->fine,
                                         .n = corrupted->n };
    const struct fx_subset subset = { .name = corrupted->name[corruption],
                                      .images = &images,
                                      .n = all->n };
    struct fx_measure measure;

    FX_TRY(fx_evaluate(all->engine, all->dataset, &subset, NULL, NULL, &measure, err));
    errors_of(&measure, errors);
    json_t *event =
        json_pack("{s:s, s:o, s:i, s:I}", "event", "corruption", "corruption",
                  fx_json_text(subset.name), "severity", severity, "images", (json_int_t)all->n);
    bool is_good =
        event && fx_heads_put(event, "error", errors, measure.n_experts, measure.has_fused);
    return finish(all, event, is_good, err);
}

static enum fx_status measure_corruption(struct robustness *all, int corruption, struct fx_err *err)
{
    double errors[FX_HEADS_MAX], sum[FX_HEADS_MAX] = { 0 };
    int n_heads = all->engine->graph->n_experts + 2;

    for (int severity = 1; severity <= FX_CORRUPTED_SEVERITIES; severity++) {
        FX_TRY(measure_severity(all, corruption, severity, errors, err));
        for (int row = 0; row < n_heads; row++)
            sum[row] += errors[row];
    }
    if (!is_counted(all->corrupted.name[corruption]))
        return FX_OK;
    all->n_counted++;
    for (int row = 0; row < n_heads; row++) {
        all->sum[row] += sum[row] / FX_CORRUPTED_SEVERITIES;
        all->ratio[row] += 100 * sum[row] / all->baseline[corruption];
    }
    return FX_OK;
}

static enum fx_status say_means(struct robustness *all, bool has_baseline, struct fx_err *err)
{
    const struct fx_graph *graph = all->engine->graph;
    json_t *event = json_pack("{s:s, s:i, s:I}", "event", "robustness", "corruptions",
                              all->n_counted, "images", (json_int_t)all->n);
    bool is_good = event;

    for (int row = 0; row < graph->n_experts + 2 && all->n_counted > 0; row++) {
        all->sum[row] /= all->n_counted;
        all->ratio[row] /= all->n_counted;
    }
    if (all->n_counted > 0)
        is_good = is_good &&
                  fx_heads_put(event, "mean_error", all->sum, graph->n_experts, graph->fused >= 0);
    if (all->n_counted > 0 && has_baseline)
        is_good =
            is_good && fx_heads_put(event, "mce", all->ratio, graph->n_experts, graph->fused >= 0);
    return finish(all, event, is_good, err);
}

/* Images of another data set, as of CIFAR-10, have labels that fit but mean other classes. */
static void warn_of_labels(const struct fx_corrupted *corrupted, const struct fx_image_set *test,
                           const char *path)
{
    size_t n = (size_t)corrupted->n;

    if (corrupted->n > test->n || memcmp(corrupted->fine, test->fine, n) != 0)
        fx_log_warn("%s: its labels are not those of the data set's first test images", path);
}

enum fx_status fx_corruption_events(struct fx_engine *engine, const struct fx_dataset *dataset,
                                    const struct fx_corruption_facts *facts, fx_line_sink sink,
                                    void *ctx, struct fx_err *err)
{
    struct robustness all = { .engine = engine, .dataset = dataset, .sink = sink, .ctx = ctx };
    enum fx_status status;

    FX_TRY(fx_corrupted_open(&all.corrupted, facts->path, engine->graph->n_classes, err));
    warn_of_labels(&all.corrupted, &dataset->test, facts->path);
    all.n = facts->limit > 0 && facts->limit < all.corrupted.n ? facts->limit : all.corrupted.n;
    if (facts->baseline)
        FX_TRY_OUT(read_baseline(&all, facts->baseline, err));
    for (int i = 0; i < all.corrupted.n_corruptions; i++)
        FX_TRY_OUT(measure_corruption(&all, i, err));
    status = say_means(&all, facts->baseline, err);
out:
    fx_corrupted_close(&all.corrupted);
    return status;
}
