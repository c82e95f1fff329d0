/* One image at a time, in double. */
#include "run/metric_accumulator_internal.h"

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

bool fx_metric_add(struct fx_metric_accumulator *sums, const float *logits, int classes, int label)
{
    int best = top_class(logits, classes);
    double sum = 0;

    for (int i = 0; i < classes; i++)
        sum += exp((double)logits[i] - logits[best]);
    double confidence = 1 / sum;
    /* A NaN among the logits must not index anything; the loss shows it. */
    int bin = confidence > 0 && confidence <= 1 ? (int)ceil(confidence * FX_ECE_BINS) - 1 : 0;

    sums->n++;
    sums->n_correct += best == label;
    sums->loss += log(sum) + logits[best] - logits[label];
    sums->bins[bin].n++;
    sums->bins[bin].n_correct += best == label;
    sums->bins[bin].confidence += confidence;
    return best == label;
}

double fx_metric_loss(const struct fx_metric_accumulator *sums)
{
    return sums->loss / (double)sums->n;
}

double fx_metric_accuracy(const struct fx_metric_accumulator *sums)
{
    return 100.0 * (double)sums->n_correct / (double)sums->n;
}

double fx_metric_ece(const struct fx_metric_accumulator *sums)
{
    double sum = 0;

    for (int i = 0; i < FX_ECE_BINS; i++)
        sum += fabs((double)sums->bins[i].n_correct - sums->bins[i].confidence);
    return 100.0 * sum / (double)sums->n;
}
