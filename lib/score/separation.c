/* One walk down the sorted numbers; equal ones are passed together. */
#include "score/separation.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

struct sample {
    double value;
    bool is_inside;
};

static int falling(const void *a, const void *b)
{
    double x = ((const struct sample *)a)->value, y = ((const struct sample *)b)->value;

    return (x < y) - (x > y);
}

/* What the walk has passed: positives and negatives, and the precision at each positive, summed. */
struct curve {
    double above, against_above, precision_sum;
};

/* Passes n_of positives and n_against negatives of the same value. */
static void pass(struct curve *curve, double n_of, double n_against)
{
    curve->above += n_of;
    curve->against_above += n_against;
    if (n_of > 0)
        curve->precision_sum += n_of * curve->above / (curve->above + curve->against_above);
}

static void walk(const struct sample *samples, int64_t n_all, double n, double m,
                 struct fx_separation *separation)
{
    struct curve in = { 0 };
    double pairs = 0;
    bool is_found = false;

    for (int64_t i = 0, next; i < n_all; i = next) {
        double n_in = 0, n_out = 0;
        for (next = i; next < n_all && !(samples[next].value < samples[i].value); next++) {
            n_in += samples[next].is_inside;
            n_out += !samples[next].is_inside;
        }
        pairs += n_out * (in.above + n_in / 2);
        pass(&in, n_in, n_out);
        if (!is_found && in.above >= 0.95 * n) {
            separation->fpr95 = 100 * in.against_above / m;
            is_found = true;
        }
    }
    separation->auroc = 100 * pairs / (n * m);
    separation->aupr_in = 100 * in.precision_sum / n;
}

/* Upwards, with the outside images as the positive ones. */
static double precision_of_outside(const struct sample *samples, int64_t n_all, double m)
{
    struct curve out = { 0 };

    for (int64_t i = n_all - 1, next; i >= 0; i = next) {
        double n_in = 0, n_out = 0;
        for (next = i; next >= 0 && !(samples[next].value > samples[i].value); next--) {
            n_in += samples[next].is_inside;
            n_out += !samples[next].is_inside;
        }
        pass(&out, n_out, n_in);
    }
    return 100 * out.precision_sum / m;
}

enum fx_status fx_separate(const double *inside, int64_t n, const double *outside, int64_t m,
                           struct fx_separation *separation, struct fx_err *err)
{
    struct sample *samples = malloc((size_t)(n + m) * sizeof *samples);

    if (!samples)
        return fx_fail(err, FX_EFAIL, "out of memory for %lld numbers", (long long)(n + m));
    for (int64_t i = 0; i < n + m; i++) {
        double value = i < n ? inside[i] : outside[i - n];
        samples[i] =
            (struct sample){ .value = isnan(value) ? -INFINITY : value, .is_inside = i < n };
    }
    qsort(samples, (size_t)(n + m), sizeof *samples, falling);
    *separation = (struct fx_separation){ 0 };
    walk(samples, n + m, (double)n, (double)m, separation);
    separation->aupr_out = precision_of_outside(samples, n + m, (double)m);
    free(samples);
    return FX_OK;
}
