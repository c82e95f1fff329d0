/* One image at a time, in double. */
#include "run/metric_accumulator_internal.h"

bool fx_metric_add(struct fx_metric_accumulator *sums, const float *logits, int classes, int label)
{
    struct fx_verdict verdict = fx_verdict_of(logits, classes, label, 1);
    bool is_right = verdict.predicted == label;

    sums->n++;
    sums->n_correct += is_right;
    sums->loss += verdict.loss;
    fx_bin_add(sums->bins, verdict.probability, is_right);
    return is_right;
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
    return fx_ece(sums->bins);
}
