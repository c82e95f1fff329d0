/* What a run has reached, in numbers that can be compared. */
#ifndef FX_TRACK_RUN_SCORES_INTERNAL_H
#define FX_TRACK_RUN_SCORES_INTERNAL_H

#include "track/runs.h"

/* Accuracies in percent; a value that does not exist is NaN. */
struct fx_expert_scores {
    int n;
    double of[FX_EVENTS_EXPERTS_MAX];
    double mean, best; /* best: the best single one */
};

struct fx_scores {
    const char
        *split;     /* "test": the final test of best; "val": validation of best; NULL: nothing */
    int64_t images; /* 0: unknown */
    struct fx_expert_scores experts;
    double ensemble, ece;
    double fused; /* of a lone expert: its own */
};

/* Of the array of accuracies in an event. */
struct fx_expert_scores fx_scores_experts(const json_t *event, const char *member);

/* fx_scores_final: the best checkpoint on the test images, else on the validation images, else what
 * an evaluation measured last. */
void fx_scores_final(const struct fx_run *run, struct fx_scores *scores);
/* The validation images before the first step, and of the best epoch; split NULL: not measured. */
void fx_scores_before(const struct fx_run *run, struct fx_scores *scores);
void fx_scores_best_epoch(const struct fx_run *run, struct fx_scores *scores);

/* What the fused model is better than its ensemble, in points, and half the interval that holds the
 * true difference in 95 of 100 cases; NaN where it was not counted. */
struct fx_gain {
    double points, half;
};

/* Of an end event: the normal approximation, from the images on which only one of the two is right
 * (McNemar, Psychometrika 12, 1947). */
struct fx_gain fx_scores_gain(const json_t *end);

/* fx_scores_seen: images that a run has shown to its network, the same image counted in each epoch;
 * NaN where its start event does not say. */
double fx_scores_seen(const json_t *start, const json_t *end);

/* fx_run_seen: the same; 0 where it is not known, or there is no run. */
double fx_run_seen(const struct fx_run *run);

bool fx_run_is_fusion(const struct fx_run *run);
/* fx_run_find_lone: the finished run of expert "0", ..., or of the single network on "all" images,
 * with the architecture of this fusion run, of the same seed if there is one; or NULL. */
const struct fx_run *fx_run_find_lone(const struct fx_runs *runs, const struct fx_run *run,
                                      const char *expert);

const json_t *fx_run_last_epoch(const struct fx_run *run); /* NULL: none yet */
/* fx_run_n_epochs: how many epochs it will have, as far as is known; 0: unknown. */
int64_t fx_run_n_epochs(const struct fx_run *run);
/* fx_run_eta: seconds until its last epoch is over, at the pace of the last one; NaN: unknown.
 *   now  seconds since 1970 */
double fx_run_eta(const struct fx_run *run, double now);

/* A number of an event, NaN where it is missing or was not finite. */
double fx_event_number(const json_t *event, const char *member);
/* Element k of an array, likewise. */
double fx_event_number_at(const json_t *event, const char *member, size_t k);

#endif
