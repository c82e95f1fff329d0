/* From events to scores. */
#include "track/run_scores_internal.h"

#include <math.h>
#include <string.h>

static double number_of(const json_t *value)
{
    return json_is_number(value) ? json_number_value(value) : NAN;
}

double fx_event_number(const json_t *event, const char *member)
{
    return number_of(json_object_get(event, member));
}

double fx_event_number_at(const json_t *event, const char *member, size_t k)
{
    return number_of(json_array_get(json_object_get(event, member), k));
}

/* The names of one measurement's members; they differ from event to event. */
struct members {
    const char *fused, *expert, *ensemble, *ece, *images;
};
static const struct members of_end = { "test_accuracy", "test_expert_accuracy",
                                       "test_ensemble_accuracy", "test_ece", "test_images" };
static const struct members of_epoch = { "val_accuracy", "expert_accuracy", "ensemble_accuracy",
                                         "val_ece", "images" };
static const struct members of_eval = { "accuracy", "expert_accuracy", "ensemble_accuracy", "ece",
                                        "images" };

struct fx_expert_scores fx_scores_experts(const json_t *event, const char *member)
{
    const json_t *experts = json_object_get(event, member);
    size_t n = json_array_size(experts);
    struct fx_expert_scores scores = { .mean = NAN, .best = NAN };
    double sum = 0;

    scores.n = (int)(n < FX_EVENTS_EXPERTS_MAX ? n : FX_EVENTS_EXPERTS_MAX);
    for (int k = 0; k < scores.n; k++) {
        scores.of[k] = fx_event_number_at(event, member, (size_t)k);
        scores.best = fmax(scores.best, scores.of[k]);
        sum += scores.of[k];
    }
    if (scores.n > 0)
        scores.mean = sum / scores.n;
    return scores;
}

static void fill(struct fx_scores *scores, const json_t *event, const struct members *members,
                 const char *split)
{
    *scores = (struct fx_scores){ .split = event ? split : NULL };
    scores->experts = fx_scores_experts(event, members->expert);
    scores->ensemble = fx_event_number(event, members->ensemble);
    scores->ece = fx_event_number(event, members->ece);
    scores->fused = fx_event_number(event, members->fused);
    scores->images = (int64_t)json_integer_value(json_object_get(event, members->images));
}

static const json_t *best_epoch(const struct fx_run *run)
{
    const json_t *best = NULL;
    double accuracy = -INFINITY;

    for (size_t i = 0; i < json_array_size(run->epochs); i++) {
        const json_t *epoch = json_array_get(run->epochs, i);
        if (fx_event_number(epoch, "val_accuracy") > accuracy) {
            accuracy = fx_event_number(epoch, "val_accuracy");
            best = epoch;
        }
    }
    return best;
}

void fx_scores_best_epoch(const struct fx_run *run, struct fx_scores *scores)
{
    fill(scores, best_epoch(run), &of_epoch, "val");
    scores->images = (int64_t)json_integer_value(json_object_get(run->start, "val_images"));
}

void fx_scores_before(const struct fx_run *run, struct fx_scores *scores)
{
    fill(scores, run->before, &of_eval, "val");
}

void fx_scores_final(const struct fx_run *run, struct fx_scores *scores)
{
    const char *split = fx_event_text(run->eval, "split");

    if (json_object_get(run->end, "test_accuracy"))
        fill(scores, run->end, &of_end, "test");
    else if (json_array_size(run->epochs) > 0)
        fx_scores_best_epoch(run, scores);
    else
        fill(scores, run->eval, &of_eval, split ? split : "test");
}

struct fx_gain fx_scores_gain(const json_t *end)
{
    double n = fx_event_number(end, "test_images");
    double fused = fx_event_number(end, "test_fused_only") / n;
    double ensemble = fx_event_number(end, "test_ensemble_only") / n;
    double gain = fused - ensemble;

    return (struct fx_gain){ .points = 100 * gain,
                             .half = 196 * sqrt((fused + ensemble - gain * gain) / n) };
}

/* Of an epoch that --steps ends early, only the batches that were used. */
double fx_scores_seen(const json_t *start, const json_t *end)
{
    double epochs = fx_event_number(end, "epoch");
    double step_images = fx_event_number(start, "batch") * fx_event_number(start, "accumulate");
    double steps =
        fx_event_number(end, "step") - epochs * fx_event_number(start, "steps_per_epoch");
    double seen = epochs * fx_event_number(start, "train_images");

    return steps * step_images > 0 ? seen + steps * step_images : seen;
}

double fx_run_seen(const struct fx_run *run)
{
    double seen = run ? fx_scores_seen(run->start, run->end) : 0;

    return isfinite(seen) ? seen : 0;
}

bool fx_run_is_fusion(const struct fx_run *run)
{
    return !json_object_get(run->start, "expert");
}

static bool has_same(const struct fx_run *a, const struct fx_run *b, const char *member)
{
    const json_t *value = json_object_get(a->start, member);

    return value && json_equal(value, json_object_get(b->start, member));
}

const struct fx_run *fx_run_find_lone(const struct fx_runs *runs, const struct fx_run *run,
                                      const char *expert)
{
    const struct fx_run *found = NULL;

    for (size_t i = 0; i < runs->n; i++) {
        const struct fx_run *other = &runs->run[i];
        const char *number = fx_event_text(other->start, "expert");
        if (other->state != FX_RUN_DONE || !number || strcmp(number, expert) != 0 ||
            !has_same(run, other, "arch"))
            continue;
        if (!found || (has_same(run, other, "seed") && !has_same(run, found, "seed")))
            found = other;
    }
    return found;
}

const json_t *fx_run_last_epoch(const struct fx_run *run)
{
    size_t n = json_array_size(run->epochs);

    return n > 0 ? json_array_get(run->epochs, n - 1) : NULL;
}

int64_t fx_run_n_epochs(const struct fx_run *run)
{
    int64_t epochs = json_integer_value(json_object_get(run->start, "epochs"));
    int64_t steps = json_integer_value(json_object_get(run->start, "steps"));
    int64_t each = json_integer_value(json_object_get(run->start, "steps_per_epoch"));
    bool has_gone_on = fx_event_number(fx_run_last_epoch(run), "step") > (double)steps;

    if (steps <= 0 || each <= 0 || has_gone_on) /* resumed, without --steps or with more */
        return epochs;
    int64_t by_steps = steps / each + (steps % each > 0);
    return by_steps < epochs ? by_steps : epochs;
}

double fx_run_eta(const struct fx_run *run, double now)
{
    const json_t *last = fx_run_last_epoch(run);
    int64_t done = json_integer_value(json_object_get(last, "epoch"));
    double seconds = fx_event_number(last, "seconds");
    int64_t left = fx_run_n_epochs(run) - done;

    if (run->state != FX_RUN_RUNNING || !last || left < 0)
        return NAN;
    double since = now - (double)fx_event_seconds(last, "timestamp", (int64_t)now);
    return fmax(0, seconds * (double)left - fmax(0, since));
}
