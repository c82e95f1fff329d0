/* Newton's method in one dimension, kept within a bracket.
 *
 * In b = 1 / T the mean loss f(b) = mean(ln sum exp(b z) - b z_label) is convex: f' is the mean of
 * E[z] - z_label and f'' the mean of Var[z], both under softmax(b z).  So f' has one zero at most,
 * and the sign of f' says on which side of b it lies. */
#include "score/temperature.h"

#include <math.h>
#include <stddef.h>

enum { STEPS_MAX = 200 };

/* f' and f'' of one image. */
static void differentiate(const float *z, int classes, int label, double b, double *first,
                          double *second)
{
    double top = -INFINITY, sum = 0, mean = 0, square = 0;

    for (int i = 0; i < classes; i++)
        top = fmax(top, z[i]);
    for (int i = 0; i < classes; i++) {
        double d = z[i] - top, e = exp(b * d);
        sum += e;
        mean += e * d;
        square += e * d * d;
    }
    mean /= sum;
    *first += mean - (z[label] - top);
    *second += square / sum - mean * mean;
}

double fx_temperature_fit(const float *logits, const uint8_t *labels, int64_t n, int classes)
{
    double low = 1 / FX_TEMPERATURE_MAX, high = 1 / FX_TEMPERATURE_MIN, b = 1;

    for (int step = 0; step < STEPS_MAX; step++) {
        double first = 0, second = 0;
        for (int64_t i = 0; i < n; i++)
            differentiate(logits + (size_t)i * (size_t)classes, classes, labels[i], b, &first,
                          &second);
        if (!isfinite(first))
            return NAN;
        if (first > 0)
            high = b;
        else
            low = b;
        double next = b - first / second;
        if (!(next > low && next < high)) /* also where f'' is 0 */
            next = sqrt(low * high);
        if (fabs(next - b) <= 1e-12 * b)
            break;
        b = next;
    }
    return 1 / b;
}
