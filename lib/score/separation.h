/* Out-of-distribution detection: how well a score separates images of known classes ("inside") from
 * others ("outside"). */
#ifndef FX_SCORE_SEPARATION_H
#define FX_SCORE_SEPARATION_H

#include "base/status.h"

#include <stdint.h>

/* Percentages. */
struct fx_separation {
    double auroc; /* area under the ROC curve: the probability that an inside image has a larger
                     score than an outside one; ties count half */
    double aupr_in, aupr_out; /* average precision with the inside, or the outside, images as
                                 positives */
    double fpr95; /* false positive rate at a true positive rate of at least 95 %: the share of
                     outside images with a score at or above that threshold */
};

/* fx_separate: scores of n inside and m outside images, at least one each; larger means inside, NaN
 * counts as -infinity.  FX_EFAIL when memory is short.  Source: Hendrycks and Gimpel, "A Baseline
 * for Detecting Misclassified and Out-of-Distribution Examples in Neural Networks" (2017), section
 * 2; fpr95 as in Liang et al., "Enhancing the Reliability of Out-of-distribution Image Detection in
 * Neural Networks" (2018). */
enum fx_status fx_separate(const double *inside, int64_t n, const double *outside, int64_t m,
                           struct fx_separation *separation, struct fx_err *err) FX_MUST_CHECK;

#endif
