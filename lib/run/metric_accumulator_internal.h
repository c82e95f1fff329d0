/* Sums over logits: cross-entropy, accuracy, calibration. */
#ifndef FX_RUN_METRIC_ACCUMULATOR_INTERNAL_H
#define FX_RUN_METRIC_ACCUMULATOR_INTERNAL_H

#include "score/calibration.h"

/* Sums over images; start with { 0 }. */
struct fx_metric_accumulator {
    int64_t n, n_correct;
    double loss; /* sum of cross-entropies */
    struct fx_bin bins[FX_ECE_BINS];
};

/* fx_metric_add: one image; true: it is right.  logits (classes), label below classes. */
bool fx_metric_add(struct fx_metric_accumulator *sums, const float *logits, int classes, int label);

double fx_metric_loss(const struct fx_metric_accumulator *sums);     /* mean */
double fx_metric_accuracy(const struct fx_metric_accumulator *sums); /* percent */

double fx_metric_ece(const struct fx_metric_accumulator *sums); /* percent */

#endif
