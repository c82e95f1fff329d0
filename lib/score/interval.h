/* How sure a measured number is: what other test images of the same kind would have given. */
#ifndef FX_SCORE_INTERVAL_H
#define FX_SCORE_INTERVAL_H

#include "base/status.h"

#include <stdint.h>

struct fx_interval {
    double low, high;
};

/* fx_bootstrap_means: for each of n_series numbers that every image has, values (n, n_series), the
 * interval of 95 % of its mean over the images: the 2.5 and 97.5 percentiles, interpolated, of the
 * means of `rounds` samples of n images drawn with replacement, the same samples for all series.
 * Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.  Image j of
 * sample r is word j % 4 of Philox(BOOTSTRAP, r, j / 4, 0), times n, shifted right by 32. */
enum fx_status fx_bootstrap_means(const double *values, int n_series, int64_t n, int64_t rounds,
                                  uint64_t seed, struct fx_interval *intervals,
                                  struct fx_err *err) FX_MUST_CHECK;

/* fx_mcnemar: the probability that two heads that are equally often right differ as much as this or
 * more: the exact two-sided test.  b images have only the first right, c only the second.  Source:
 * McNemar, "Note on the sampling error of the difference between correlated proportions or
 * percentages" (1947), with the binomial distribution in place of the normal one. */
double fx_mcnemar(int64_t b, int64_t c);

#endif
