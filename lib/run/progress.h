/* The progress of a run on stderr: one line redrawn on a terminal, plain lines elsewhere. */
#ifndef FX_RUN_PROGRESS_H
#define FX_RUN_PROGRESS_H

#include "backend/backend.h"
#include "config/settings.h"
#include "run/evaluate.h"
#include "run/state.h"

/* Rates and running numbers of this process; no part of the state. */
struct fx_progress {
    int64_t epochs, train_images;
    int64_t steps, end_images; /* of the whole run: what --epochs and --steps leave of it */
    int64_t n_images;          /* since `start` */
    double start, next_line;   /* seconds */
    double fused_correct, expert_correct, n_counted; /* of the epoch, in this process */
    int n_experts;
    bool has_fused;
};

void fx_progress_begin(struct fx_progress *progress);
void fx_progress_begin_epoch(struct fx_progress *progress);

/* After a step: redraws the line, or prints one at most every 30 seconds. */
void fx_progress_step(struct fx_progress *progress, const struct fx_state *state,
                      const struct fx_losses *losses);

/* After a validation: always one line.  last_step is that which --steps ended the epoch at, 0 of a
 * whole one. */
void fx_progress_epoch(const struct fx_progress *progress, const struct fx_state *state,
                       int64_t last_step, const struct fx_measure *val, bool is_best,
                       double seconds);

/* Before the first step, and the test of the best checkpoint. */
void fx_progress_initial(const struct fx_measure *measure);
void fx_progress_test(const struct fx_measure *measure, int64_t best_epoch, int64_t last_step);
/* Any other measurement; warns of logits that are not finite. */
void fx_progress_measure(const char *subset, const struct fx_measure *measure);

#endif
