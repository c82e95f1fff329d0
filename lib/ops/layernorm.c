/* y = weight * xhat + bias, xhat = (x - mean) / std over a row of c values.  With g = dy * weight:
 *   dx = (g - mean(g) - xhat * mean(g * xhat)) / std. */
#include "ops/operators.h"

#include <math.h>
#include <stddef.h>

/* Mean and standard deviation of a row. */
struct moments {
    double mean, std;
};

static struct moments row_moments(const struct fx_layernorm *k, const float *x)
{
    struct moments m = { 0, 0 };
    double squares = 0;

    for (int c = 0; c < k->c; c++)
        m.mean += (double)x[c];
    m.mean /= k->c;
    for (int c = 0; c < k->c; c++)
        squares += ((double)x[c] - m.mean) * ((double)x[c] - m.mean);
    m.std = sqrt(squares / k->c + (double)k->eps);
    return m;
}

void fx_layernorm_forward(const struct fx_layernorm *k, const float *x, const float *weight,
                          const float *bias, float *y)
{
    for (int i = 0; i < k->rows; i++) {
        const float *xi = x + (size_t)i * (size_t)k->c;
        float *yi = y + (size_t)i * (size_t)k->c;
        struct moments m = row_moments(k, xi);

        for (int c = 0; c < k->c; c++)
            yi[c] =
                (float)((double)weight[c] * (((double)xi[c] - m.mean) / m.std) + (double)bias[c]);
    }
}

static void backward_row(const struct fx_layernorm *k, const float *x, const float *dy,
                         const float *weight, float *dx)
{
    struct moments m = row_moments(k, x);
    double mean_g = 0, mean_gx = 0;

    for (int c = 0; c < k->c; c++) {
        double g = (double)dy[c] * (double)weight[c];

        mean_g += g / k->c;
        mean_gx += g * (((double)x[c] - m.mean) / m.std) / k->c;
    }
    for (int c = 0; c < k->c; c++) {
        double g = (double)dy[c] * (double)weight[c];
        double xhat = ((double)x[c] - m.mean) / m.std;

        dx[c] += (float)((g - mean_g - xhat * mean_gx) / m.std);
    }
}

void fx_layernorm_backward(const struct fx_layernorm *k, const float *x, const float *dy,
                           const float *weight, float *dx, float *dweight, float *dbias)
{
    for (int i = 0; i < k->rows; i++) {
        size_t row = (size_t)i * (size_t)k->c;
        struct moments m = row_moments(k, x + row);

        if (dx)
            backward_row(k, x + row, dy + row, weight, dx + row);
        for (int c = 0; c < k->c; c++) {
            double d = (double)dy[row + (size_t)c];

            dweight[c] += (float)(d * (((double)x[row + (size_t)c] - m.mean) / m.std));
            dbias[c] += (float)d;
        }
    }
}
