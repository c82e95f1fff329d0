/* Bins of equal width and of equal mass. */
#include "score/calibration.h"

#include <math.h>
#include <stdlib.h>

static void put(struct fx_bin *bin, double probability, bool is_right)
{
    bin->n++;
    bin->n_right += is_right;
    bin->probability += probability;
}

void fx_bin_add(struct fx_bin bins[FX_ECE_BINS], double probability, bool is_right)
{
    /* A NaN must not index anything; the loss shows it. */
    int i = probability > 0 && probability <= 1 ? (int)ceil(probability * FX_ECE_BINS) - 1 : 0;

    put(&bins[i], probability, is_right);
}

double fx_ece(const struct fx_bin bins[FX_ECE_BINS])
{
    double sum = 0;
    int64_t n = 0;

    for (int i = 0; i < FX_ECE_BINS; i++) {
        sum += fabs((double)bins[i].n_right - bins[i].probability);
        n += bins[i].n;
    }
    return 100.0 * sum / (double)n;
}

/* By probability, what is none first; equal ones in the order of the images. */
static int by_probability(const void *a, const void *b)
{
    const struct fx_verdict *x = *(const struct fx_verdict *const *)a;
    const struct fx_verdict *y = *(const struct fx_verdict *const *)b;

    if (isnan(x->probability) != isnan(y->probability))
        return isnan(x->probability) ? -1 : 1;
    if (x->probability < y->probability || x->probability > y->probability)
        return x->probability < y->probability ? -1 : 1;
    return (x > y) - (x < y);
}

enum fx_status fx_bins_equal_mass(const struct fx_verdict *verdicts, int64_t n,
                                  struct fx_bin bins[FX_ECE_BINS], struct fx_err *err)
{
    const struct fx_verdict **sorted = malloc((size_t)n * sizeof *sorted + 1);
    int64_t at = 0;

    if (!sorted)
        return fx_fail(err, FX_EFAIL, "out of memory for the calibration of %lld images",
                       (long long)n);
    for (int64_t i = 0; i < n; i++)
        sorted[i] = &verdicts[i];
    qsort(sorted, (size_t)n, sizeof *sorted, by_probability);
    for (int b = 0; b < FX_ECE_BINS; b++) {
        bins[b] = (struct fx_bin){ 0 };
        for (int64_t left = n / FX_ECE_BINS + (b < n % FX_ECE_BINS); left > 0; left--, at++)
            put(&bins[b], sorted[at]->probability, sorted[at]->rank == 0);
    }
    free(sorted);
    return FX_OK;
}
