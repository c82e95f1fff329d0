/* Sums over logits: cross-entropy, accuracy, calibration. */
#ifndef FX_RUN_METRIC_ACCUMULATOR_INTERNAL_H
#define FX_RUN_METRIC_ACCUMULATOR_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

enum { FX_ECE_BINS = 15 };

/* Sums over images; start with { 0 }. */
struct fx_metric_accumulator {
    int64_t n, n_correct;
    double loss; /* sum of cross-entropies */
    struct {
        int64_t n, n_correct;
        double confidence; /* sum of the largest probabilities */
    } bins[FX_ECE_BINS];   /* by the largest probability, (i/15, (i+1)/15] */
};

/* fx_metric_add: one image; true: it is right.  logits (classes), label below classes. */
bool fx_metric_add(struct fx_metric_accumulator *sums, const float *logits, int classes, int label);

double fx_metric_loss(const struct fx_metric_accumulator *sums);     /* mean */
double fx_metric_accuracy(const struct fx_metric_accumulator *sums); /* percent */

/* Expected calibration error in percent: mean over images of |accuracy - confidence| of the image's
 * bin.  Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), equation 3. */
double fx_metric_ece(const struct fx_metric_accumulator *sums);

#endif
