/* Calibration: how far what a head says about its own probability is from how often it is right. */
#ifndef FX_SCORE_CALIBRATION_H
#define FX_SCORE_CALIBRATION_H

#include "base/status.h"
#include "score/verdict.h"

enum { FX_ECE_BINS = 15 };

/* Images whose largest probabilities are near each other. */
struct fx_bin {
    int64_t n, n_right;
    double probability; /* sum of the largest probabilities */
};

/* fx_bin_add: one image into the bin of equal width that it belongs in, (i/15, (i+1)/15]. */
void fx_bin_add(struct fx_bin bins[FX_ECE_BINS], double probability, bool is_right);

/* fx_ece: expected calibration error in percent: mean over images of |accuracy - mean probability|
 * of the image's bin.  Source: Guo et al., "On Calibration of Modern Neural Networks" (2017),
 * equation 3. */
double fx_ece(const struct fx_bin bins[FX_ECE_BINS]);

/* fx_bins_equal_mass: fills bins with equally many images each, from the smallest probability to
 * the largest; where n is no multiple of 15 the first bins have one more.  fx_ece of them does not
 * hang on a few images in sparse bins.  Source: Nguyen and O'Connor, "Posterior calibration and
 * exploratory analysis for natural language processing models" (2015), section 4. */
enum fx_status fx_bins_equal_mass(const struct fx_verdict *verdicts, int64_t n,
                                  struct fx_bin bins[FX_ECE_BINS],
                                  struct fx_err *err) FX_MUST_CHECK;

#endif
