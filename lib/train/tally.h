/* Counting what logits are worth: cross-entropy, accuracy, calibration. */
#ifndef FX_TRAIN_TALLY_H
#define FX_TRAIN_TALLY_H

#include <stdint.h>

enum { FX_TALLY_BINS = 15 };

/* Sums over images; start with { 0 }. */
struct fx_tally {
    int64_t n, n_correct;
    double loss; /* sum of cross-entropies */
    struct {
        int64_t n, n_correct;
        double confidence; /* sum of the largest probabilities */
    } bins[FX_TALLY_BINS]; /* by the largest probability, (i/15, (i+1)/15] */
};

/* fx_tally_add: one image.  logits (classes), label below classes. */
void fx_tally_add(struct fx_tally *tally, const float *logits, int classes, int label);

double fx_tally_loss(const struct fx_tally *tally);     /* mean */
double fx_tally_accuracy(const struct fx_tally *tally); /* percent */

/* Expected calibration error in percent: mean over images of |accuracy - confidence| of the image's
 * bin.  Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), equation 3. */
double fx_tally_ece(const struct fx_tally *tally);

#endif
