/* What a run has reached, in numbers that can be compared. */
#ifndef FX_TRACK_RUN_SCORES_INTERNAL_H
#define FX_TRACK_RUN_SCORES_INTERNAL_H

#include "track/runs.h"

/* Accuracies in percent; a value that does not exist is NaN. */
struct fx_scores {
    const char
        *split;     /* "test": the final test of best; "val": validation of best; NULL: nothing */
    int64_t images; /* 0: unknown */
    int n_experts;
    double expert[FX_EVENTS_EXPERTS_MAX];
    double expert_mean, expert_best; /* expert_best: the best single one */
    double ensemble, ece;
    double fused; /* of a lone expert: its own */
};

/* fx_scores_final: the best checkpoint on the test images, else on the validation images, else what
 * an evaluation measured last. */
void fx_scores_final(const struct fx_run *run, struct fx_scores *scores);
/* The validation images before the first step, and of the best epoch; split NULL: not measured. */
void fx_scores_before(const struct fx_run *run, struct fx_scores *scores);
void fx_scores_best_epoch(const struct fx_run *run, struct fx_scores *scores);

bool fx_run_is_fusion(const struct fx_run *run);
/* A single network trained on all images: the baseline of its family. */
bool fx_run_is_baseline(const struct fx_run *run);
/* fx_run_find_baseline: the finished baseline with the architecture of this fusion run, or NULL. */
const struct fx_run *fx_run_find_baseline(const struct fx_runs *runs, const struct fx_run *run);

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
