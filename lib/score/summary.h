/* Statistics of one head over many images. */
#ifndef FX_SCORE_SUMMARY_H
#define FX_SCORE_SUMMARY_H

#include "score/calibration.h"

/* Accuracies and calibration errors in percent; losses and Brier scores are means. */
struct fx_summary {
    double accuracy, top5, loss, brier;
    double ece, ece_mass; /* in bins of equal width and of equal mass */
};

/* fx_summarise: fills *summary from n verdicts; FX_EFAIL when memory is short. */
enum fx_status fx_summarise(const struct fx_verdict *verdicts, int64_t n,
                            struct fx_summary *summary, struct fx_err *err) FX_MUST_CHECK;

/* fx_confusion_add: adds n images to the confusion matrix counts[label * classes + predicted]. */
void fx_confusion_add(const struct fx_verdict *verdicts, const uint8_t *labels, int64_t n,
                      int classes, int64_t *counts);

/* fx_disagreement: percent of n images for which the two predict different classes.  Source:
 * Kuncheva and Whitaker, "Measures of diversity in classifier ensembles" (2003), there for right
 * and wrong, here for classes. */
double fx_disagreement(const struct fx_verdict *a, const struct fx_verdict *b, int64_t n);

#endif
