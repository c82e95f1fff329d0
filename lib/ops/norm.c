/* BatchNorm and LayerNorm: forward, and backward through the statistics. */
#include "ops/operators.h"

#include <math.h>
#include <stddef.h>

/* ---- BatchNorm --------------------------------------------------------------------------------
 *
 * A channel at a time.  With m = n * area, xhat = (x - mean) / std, std = sqrt(var + eps) and dz
 * the gradient before the ReLU: dbias = sum dz,  dweight = sum dz * xhat dx = weight / std * (dz -
 * dbias / m - xhat * dweight / m);  where mean and std are constants, dx = weight / std * dz. */

/* Where channel c of image n begins. */
static size_t plane(const struct fx_batchnorm *k, int n, int c)
{
    return ((size_t)n * (size_t)k->c + (size_t)c) * (size_t)k->area;
}

void fx_batchnorm_stats(const struct fx_batchnorm *k, const float *x, double *mean, double *var)
{
    double m = (double)k->n * k->area;

    for (int c = 0; c < k->c; c++) {
        double sum = 0, squares = 0;

        for (int n = 0; n < k->n; n++)
            for (int i = 0; i < k->area; i++)
                sum += (double)x[plane(k, n, c) + (size_t)i];
        mean[c] = sum / m;
        for (int n = 0; n < k->n; n++) {
            for (int i = 0; i < k->area; i++) {
                double d = (double)x[plane(k, n, c) + (size_t)i] - mean[c];

                squares += d * d;
            }
        }
        var[c] = squares / m;
    }
}

double fx_batchnorm_unbiased(const struct fx_batchnorm *k, double var)
{
    double m = (double)k->n * k->area;

    return m > 1 ? var * m / (m - 1) : var;
}

void fx_running_average(size_t n, float momentum, const float *last, const float *batch,
                        float *next)
{
    for (size_t c = 0; c < n; c++)
        next[c] = (1.0f - momentum) * last[c] + momentum * batch[c];
}

void fx_batchnorm_forward(const struct fx_batchnorm *k, const float *x, const double *mean,
                          const double *var, const float *weight, const float *bias, float *y)
{
    for (int n = 0; n < k->n; n++) {
        for (int c = 0; c < k->c; c++) {
            double scale = (double)weight[c] / sqrt(var[c] + (double)k->eps);
            const float *from = x + plane(k, n, c);
            float *to = y + plane(k, n, c);

            for (int i = 0; i < k->area; i++) {
                double z = scale * ((double)from[i] - mean[c]) + (double)bias[c];

                to[i] = (float)(k->relu && z < 0 ? 0 : z);
            }
        }
    }
}

/* The gradient of one value before the ReLU. */
static double before_relu(const struct fx_batchnorm *k, float y, float dy)
{
    return k->relu && y <= 0 ? 0 : (double)dy;
}

/* sums[0] = sum dz, sums[1] = sum dz * xhat, of channel c. */
static void channel_sums(const struct fx_batchnorm *k, int c, const float *x, const float *y,
                         const float *dy, double mean, double std, double sums[2])
{
    sums[0] = sums[1] = 0;
    for (int n = 0; n < k->n; n++) {
        size_t at = plane(k, n, c);

        for (int i = 0; i < k->area; i++, at++) {
            double dz = before_relu(k, y[at], dy[at]);

            sums[0] += dz;
            sums[1] += dz * ((double)x[at] - mean) / std;
        }
    }
}

void fx_batchnorm_backward(const struct fx_batchnorm *k, const float *x, const float *y,
                           const float *dy, const double *mean, const double *var,
                           const float *weight, float *dx, float *dweight, float *dbias)
{
    double m = (double)k->n * k->area;

    for (int c = 0; c < k->c; c++) {
        double std = sqrt(var[c] + (double)k->eps), sums[2] = { 0, 0 };

        if (dweight) {
            channel_sums(k, c, x, y, dy, mean[c], std, sums);
            dbias[c] += (float)sums[0];
            dweight[c] += (float)sums[1];
        }
        for (int n = 0; dx && n < k->n; n++) {
            size_t at = plane(k, n, c);

            for (int i = 0; i < k->area; i++, at++) {
                double xhat = ((double)x[at] - mean[c]) / std;
                double dz = before_relu(k, y[at], dy[at]);

                dx[at] +=
                    (float)((double)weight[c] / std * (dz - sums[0] / m - xhat * sums[1] / m));
            }
        }
    }
}

/* ---- LayerNorm --------------------------------------------------------------------------------
 *
 * y = weight * xhat + bias, xhat = (x - mean) / std over a row of c values.  With g = dy * weight:
 *   dx = (g - mean(g) - xhat * mean(g * xhat)) / std. */

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
        for (int c = 0; dweight && c < k->c; c++) {
            double d = (double)dy[row + (size_t)c];

            dweight[c] += (float)(d * (((double)x[row + (size_t)c] - m.mean) / m.std));
            dbias[c] += (float)d;
        }
    }
}
