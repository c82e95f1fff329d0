/* One image at a time, in double. */
#include "train/tally.h"

#include <math.h>

/* The class with the largest logit, the first of equals. */
static int top_class(const float *logits, int classes)
{
    int best = 0;

    for (int i = 1; i < classes; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

void fx_tally_add(struct fx_tally *tally, const float *logits, int classes, int label)
{
    int best = top_class(logits, classes);
    double sum = 0;

    for (int i = 0; i < classes; i++)
        sum += exp((double)logits[i] - logits[best]);
    double confidence = 1 / sum;
    /* A NaN among the logits must not index anything; the loss shows it. */
    int bin = confidence > 0 && confidence <= 1 ? (int)ceil(confidence * FX_TALLY_BINS) - 1 : 0;

    tally->n++;
    tally->n_correct += best == label;
    tally->loss += log(sum) + logits[best] - logits[label];
    tally->bins[bin].n++;
    tally->bins[bin].n_correct += best == label;
    tally->bins[bin].confidence += confidence;
}

double fx_tally_loss(const struct fx_tally *tally)
{
    return tally->loss / (double)tally->n;
}

double fx_tally_accuracy(const struct fx_tally *tally)
{
    return 100.0 * (double)tally->n_correct / (double)tally->n;
}

double fx_tally_ece(const struct fx_tally *tally)
{
    double sum = 0;

    for (int i = 0; i < FX_TALLY_BINS; i++)
        sum += fabs((double)tally->bins[i].n_correct - tally->bins[i].confidence);
    return 100.0 * sum / (double)tally->n;
}
