/* Softmax with the largest logit taken out, so that nothing overflows. */
#include "score/verdict.h"

#include <math.h>

static int largest(const float *logits, int classes)
{
    int best = 0;

    for (int i = 1; i < classes; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

/* How many classes come before the label: larger logits, equal ones with a smaller number, and what
 * is no number. */
static int rank_of(const float *logits, int classes, int label)
{
    int rank = 0;

    for (int i = 0; i < classes; i++)
        rank +=
            i < label ? !(logits[i] < logits[label]) : i > label && !(logits[i] <= logits[label]);
    return rank;
}

struct fx_verdict fx_verdict_of(const float *logits, int classes, int label, double temperature)
{
    int best = largest(logits, classes);
    double sum = 0, squares = 0;
    int i = 0;

    do {
        double e = exp(((double)logits[i] - logits[best]) / temperature);
        sum += e;
        squares += e * e;
    } while (++i < classes);
    double of_label = exp(((double)logits[label] - logits[best]) / temperature) / sum;
    return (struct fx_verdict){
        .predicted = best,
        .rank = rank_of(logits, classes, label),
        .probability = 1 / sum,
        .loss = log(sum) + ((double)logits[best] - logits[label]) / temperature,
        .brier = squares / (sum * sum) - 2 * of_label + 1,
        .energy = -temperature * log(sum) - logits[best],
    };
}

/* -p ln p */
static double entropy_of(double p)
{
    return p > 0 ? -p * log(p) : 0;
}

double fx_divergence_add(double *sum, const float *logits, int classes, int n_heads, bool is_last)
{
    int best = largest(logits, classes);
    double total = 0, part = 0;

    for (int i = 0; i < classes; i++)
        total += exp((double)logits[i] - logits[best]);
    for (int i = 0; i < classes; i++) {
        double p = exp((double)logits[i] - logits[best]) / total;
        sum[i] += p / n_heads;
        part += (is_last ? entropy_of(sum[i]) : 0) - entropy_of(p) / n_heads;
    }
    return part;
}
