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

static void fill(struct fx_scores *scores, const json_t *event, const struct members *members,
                 const char *split)
{
    const json_t *experts = json_object_get(event, members->expert);
    size_t n = json_array_size(experts);
    double sum = 0;

    *scores =
        (struct fx_scores){ .split = event ? split : NULL, .expert_mean = NAN, .expert_best = NAN };
    scores->n_experts = (int)(n < FX_EVENTS_EXPERTS_MAX ? n : FX_EVENTS_EXPERTS_MAX);
    for (int k = 0; k < scores->n_experts; k++) {
        scores->expert[k] = fx_event_number_at(event, members->expert, (size_t)k);
        scores->expert_best = fmax(scores->expert_best, scores->expert[k]);
        sum += scores->expert[k];
    }
    if (scores->n_experts > 0)
        scores->expert_mean = sum / scores->n_experts;
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

bool fx_run_is_fusion(const struct fx_run *run)
{
    return !json_object_get(run->start, "expert");
}

bool fx_run_is_baseline(const struct fx_run *run)
{
    const char *expert = fx_event_text(run->start, "expert");

    return expert && strcmp(expert, "all") == 0;
}

const struct fx_run *fx_run_find_baseline(const struct fx_runs *runs, const struct fx_run *run)
{
    const char *arch = fx_event_text(run->start, "arch");

    for (size_t i = 0; arch && i < runs->n; i++) {
        const struct fx_run *other = &runs->run[i];
        const char *same = fx_event_text(other->start, "arch");
        if (other->state == FX_RUN_DONE && fx_run_is_baseline(other) && same &&
            strcmp(same, arch) == 0)
            return other;
    }
    return NULL;
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
    int64_t by_steps = steps > 0 && each > 0 ? steps / each + (steps % each > 0) : epochs;

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
