/* What lies beside a plane, between its pixels, and around each of them. */
#include "image/corrupt_internal.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

enum { SIDE = FX_CORRUPT_SIDE, MAX_RADIUS = SIDE };

int fx_corrupt_inside(int i, enum fx_corrupt_edge edge)
{
    if (edge == FX_EDGE_NEAREST)
        return i < 0 ? 0 : i < SIDE ? i : SIDE - 1;
    if (edge == FX_EDGE_REFLECT && i < 0)
        i = -1 - i;
    int period = edge == FX_EDGE_REFLECT ? 2 * SIDE : 2 * (SIDE - 1);
    i = abs(i) % period;
    return i < SIDE ? i : (edge == FX_EDGE_REFLECT ? period - 1 : period) - i;
}

double fx_corrupt_between(const double *plane, double y, double x, enum fx_corrupt_edge edge)
{
    double down = y - floor(y), right = x - floor(x);
    int x0 = fx_corrupt_inside((int)floor(x), edge);
    int x1 = fx_corrupt_inside((int)floor(x) + 1, edge);
    const double *above = plane + fx_corrupt_inside((int)floor(y), edge) * SIDE;
    const double *below = plane + fx_corrupt_inside((int)floor(y) + 1, edge) * SIDE;

    return (1 - down) * ((1 - right) * above[x0] + right * above[x1]) +
           down * ((1 - right) * below[x0] + right * below[x1]);
}

/* One line of pixels, `stride` apart. */
static void smooth_line(double *line, int stride, const double *kernel, int radius,
                        enum fx_corrupt_edge edge)
{
    double sharp[SIDE];

    for (int i = 0; i < SIDE; i++)
        sharp[i] = line[i * stride];
    for (int i = 0; i < SIDE; i++) {
        double sum = sharp[i] * kernel[0];
        for (int k = radius; k > 0; k--)
            sum += (sharp[fx_corrupt_inside(i - k, edge)] + sharp[fx_corrupt_inside(i + k, edge)]) *
                   kernel[k];
        line[i * stride] = sum;
    }
}

void fx_corrupt_smooth(double *plane, double sigma, int truncate, enum fx_corrupt_edge edge)
{
    double kernel[MAX_RADIUS + 1], sum = 0;
    int radius = (int)(truncate * sigma + 0.5);

    if (radius == 0)
        return;
    for (int k = 0; k <= radius; k++) {
        kernel[k] = exp(-k * k / (2 * sigma * sigma));
        sum += k ? 2 * kernel[k] : kernel[k];
    }
    for (int k = 0; k <= radius; k++)
        kernel[k] /= sum;
    for (int i = 0; i < SIDE; i++)
        smooth_line(plane + i, SIDE, kernel, radius, edge);
    for (int i = 0; i < SIDE; i++)
        smooth_line(plane + (ptrdiff_t)i * SIDE, 1, kernel, radius, edge);
}
