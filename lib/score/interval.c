/* The percentile bootstrap, and McNemar's test. */
#include "score/interval.h"

#include "base/philox.h"

#include <math.h>
#include <stdlib.h>

/* The sums of a sample of n images. */
static void sum_sample(const double *values, int n_series, int64_t n, int64_t round, uint64_t seed,
                       double *sums)
{
    uint32_t words[4];

    for (int s = 0; s < n_series; s++)
        sums[s] = 0;
    for (int64_t j = 0; j < n; j++) {
        if (j % 4 == 0) {
            const uint32_t counter[4] = { fx_rng_word(FX_RNG_BOOTSTRAP, 0, 0), (uint32_t)round,
                                          (uint32_t)(j / 4), 0 };
            fx_philox(counter, seed, words);
        }
        size_t image = (size_t)((uint64_t)words[j % 4] * (uint64_t)n >> 32);
        for (int s = 0; s < n_series; s++)
            sums[s] += values[image * (size_t)n_series + (size_t)s];
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Between the two nearest of the sorted values, as far as the share lies between them. */
static double percentile(const double *sorted, int64_t n, double share)
{
    double at = share * (double)(n - 1);
    int64_t i = (int64_t)at;
    int64_t next = i + 1 < n ? i + 1 : i;

    return sorted[i] + (at - (double)i) * (sorted[next] - sorted[i]);
}

enum fx_status fx_bootstrap_means(const double *values, int n_series, int64_t n, int64_t rounds,
                                  uint64_t seed, struct fx_interval *intervals, struct fx_err *err)
{
    size_t n_means = (size_t)n_series * (size_t)rounds;
    double *sums = malloc((n_means + (size_t)n_series) * sizeof *sums);

    if (!sums)
        return fx_fail(err, FX_EFAIL, "out of memory for %lld bootstrap samples",
                       (long long)rounds);
    double *means = sums + n_series; /* (n_series, rounds) */
    for (int64_t r = 0; r < rounds; r++) {
        sum_sample(values, n_series, n, r, seed, sums);
        for (int s = 0; s < n_series; s++)
            means[(size_t)s * (size_t)rounds + (size_t)r] = sums[s] / (double)n;
    }
    for (int s = 0; s < n_series; s++) {
        double *of_series = means + (size_t)s * (size_t)rounds;
        qsort(of_series, (size_t)rounds, sizeof *of_series, by_size);
        intervals[s] = (struct fx_interval){ percentile(of_series, rounds, 0.025),
                                             percentile(of_series, rounds, 0.975) };
    }
    free(sums);
    return FX_OK;
}

double fx_mcnemar(int64_t b, int64_t c)
{
    int64_t n = b + c, fewer = b < c ? b : c;
    double tail = 0;

    for (int64_t i = 0; i <= fewer; i++)
        tail += exp(lgamma((double)n + 1) - lgamma((double)i + 1) - lgamma((double)(n - i) + 1) -
                    (double)n * log(2));
    return fmin(1, 2 * tail);
}
