/* Statistical uncertainty of a measurement: bootstrap intervals and McNemar's test. */
#ifndef FX_SCORE_INTERVAL_H
#define FX_SCORE_INTERVAL_H

#include "base/status.h"

#include <stdint.h>

struct fx_interval {
    double low, high;
};

/* fx_bootstrap_means: the 95 % interval of the mean over n images of each of n_series numbers: the
 * 2.5th and 97.5th percentiles, interpolated, of the means of `rounds` samples of n images drawn
 * with replacement.  All series use the same samples; rounds is at least 1, n is below 2^32.
 *   values     in   f64 (n, n_series)
 *   intervals  out  (n_series)
 * FX_EFAIL when memory is short.
 * Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.  Image j of
 * sample r is word j % 4 of Philox(BOOTSTRAP, r, j / 4, 0), times n, shifted right by 32. */
enum fx_status fx_bootstrap_means(const double *values, int n_series, int64_t n, int64_t rounds,
                                  uint64_t seed, struct fx_interval *intervals,
                                  struct fx_err *err) FX_MUST_CHECK;

/* fx_mcnemar: the p-value of the exact two-sided test that two heads are equally accurate; the
 * first alone is right on b images, the second alone on c.  Source: McNemar, "Note on the sampling
 * error of the difference between correlated proportions or percentages" (1947), with the binomial
 * distribution in place of the normal one. */
double fx_mcnemar(int64_t b, int64_t c);

#endif
