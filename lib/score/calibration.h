/* Calibration: the difference between the predicted probability and the accuracy of a head. */
#ifndef FX_SCORE_CALIBRATION_H
#define FX_SCORE_CALIBRATION_H

#include "base/status.h"
#include "score/verdict.h"

enum { FX_ECE_BINS = 15 };

/* Images with similar predicted probabilities. */
struct fx_bin {
    int64_t n, n_right;
    double probability; /* sum of the predicted classes' probabilities */
};

/* fx_bin_add: adds one image to its bin of equal width, (i/15, (i+1)/15]; NaN goes to the first. */
void fx_bin_add(struct fx_bin bins[FX_ECE_BINS], double probability, bool is_right);

/* fx_ece: expected calibration error in percent, the mean over images of |accuracy - mean
 * probability| of the image's bin; NaN without images.  Source: Guo et al., "On Calibration of
 * Modern Neural Networks" (2017), equation 3. */
double fx_ece(const struct fx_bin bins[FX_ECE_BINS]);

/* fx_bins_equal_mass: fills the bins with equally many images, in ascending order of probability;
 * where n is no multiple of 15 the first bins have one more.  Their fx_ece does not depend on a few
 * images in sparse bins.  FX_EFAIL when memory is short.  Source: Nguyen and O'Connor, "Posterior
 * calibration and exploratory analysis for natural language processing models" (2015), section 4.
 */
enum fx_status fx_bins_equal_mass(const struct fx_verdict *verdicts, int64_t n,
                                  struct fx_bin bins[FX_ECE_BINS],
                                  struct fx_err *err) FX_MUST_CHECK;

#endif
