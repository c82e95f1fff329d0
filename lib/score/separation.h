/* How well one number of each image tells images of two kinds apart: those of the classes a model
 * knows, "inside", and others, "outside". */
#ifndef FX_SCORE_SEPARATION_H
#define FX_SCORE_SEPARATION_H

#include "base/status.h"

#include <stdint.h>

/* In percent. */
struct fx_separation {
    double auroc; /* area under the ROC curve: of an inside and an outside image, how often the
                     first has the larger number; ties count half */
    double aupr_in, aupr_out; /* average precision with the inside, or the outside, images as the
                                 positive ones */
    double fpr95; /* of the outside images, those above a limit that 95 % of the inside ones or
                     more are above, or at */
};

/* fx_separate: numbers that should be larger inside; n and m of them, at least one each.  NaN
 * counts as the smallest.  Source: Hendrycks and Gimpel, "A Baseline for Detecting Misclassified
 * and Out-of-Distribution Examples in Neural Networks" (2017), section 2; fpr95 as in Liang et al.,
 * "Enhancing the Reliability of Out-of-distribution Image Detection in Neural Networks" (2018). */
enum fx_status fx_separate(const double *inside, int64_t n, const double *outside, int64_t m,
                           struct fx_separation *separation, struct fx_err *err) FX_MUST_CHECK;

#endif
