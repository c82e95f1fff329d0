/* Blurs: a disc out of focus, and a camera that zooms, or moves, while it looks. */
#include "image/corrupt_internal.h"

#include <math.h>
#include <string.h>

enum { SIDE = FX_CORRUPT_SIDE, REACH = 2, WIDTH = 2 * REACH + 1 };

/* ---- defocus --------------------------------------------------------------------------------- */

/* A disc, its edge smoothed by a Gaussian of three pixels. */
static void make_disc(double radius, double sigma, double kernel[WIDTH][WIDTH])
{
    double disc[WIDTH][WIDTH], n = 0, edge = exp(-1 / (2 * sigma * sigma));
    const double smooth[3] = { edge / (1 + 2 * edge), 1 / (1 + 2 * edge), edge / (1 + 2 * edge) };

    for (int y = 0; y < WIDTH; y++)
        for (int x = 0; x < WIDTH; x++) {
            int dx = x - REACH, dy = y - REACH;
            disc[y][x] = dx * dx + dy * dy <= radius * radius;
            n += disc[y][x];
        }
    for (int y = 0; y < WIDTH; y++)
        for (int x = 0; x < WIDTH; x++) {
            kernel[y][x] = 0;
            for (int j = -1; j <= 1; j++)
                for (int i = -1; i <= 1; i++)
                    if (y + j >= 0 && y + j < WIDTH && x + i >= 0 && x + i < WIDTH)
                        kernel[y][x] += smooth[j + 1] * smooth[i + 1] * disc[y + j][x + i] / n;
        }
}

void fx_corrupt_defocus(int severity, double *planes)
{
    static const double radius[] = { 0.3, 0.4, 0.5, 1, 1.5 }, sigma[] = { 0.4, 0.5, 0.6, 0.2, 0.1 };
    double kernel[WIDTH][WIDTH], sharp[FX_CORRUPT_PIXELS];

    make_disc(radius[severity - 1], sigma[severity - 1], kernel);
    for (int c = 0; c < 3; c++) {
        double *plane = planes + c * FX_CORRUPT_PIXELS;
        memcpy(sharp, plane, sizeof sharp);
        for (int p = 0; p < FX_CORRUPT_PIXELS; p++) {
            plane[p] = 0;
            for (int j = -REACH; j <= REACH; j++)
                for (int i = -REACH; i <= REACH; i++)
                    plane[p] += kernel[j + REACH][i + REACH] *
                                sharp[fx_corrupt_inside(p / SIDE + j, FX_EDGE_MIRROR) * SIDE +
                                      fx_corrupt_inside(p % SIDE + i, FX_EDGE_MIRROR)];
        }
    }
}

/* ---- zoom ------------------------------------------------------------------------------------ */

/* Where pixel i of the enlarged cut-out lies in the image: `cut` pixels from `top` on become n. */
static double source_of(int i, int top, int cut, int n)
{
    return top + (double)i * (cut - 1) / (n - 1);
}

/* Adds the plane, enlarged linearly and cut to its size, to `sum`. */
static void add_zoomed(const double *plane, double factor, double *sum)
{
    int cut = (int)ceil(SIDE / factor), top = (SIDE - cut) / 2;
    int n = (int)lround(cut * factor), trim = (n - SIDE) / 2;

    for (int p = 0; p < FX_CORRUPT_PIXELS; p++) {
        double y = source_of(p / SIDE + trim, top, cut, n);
        double x = source_of(p % SIDE + trim, top, cut, n);
        sum[p] += fx_corrupt_between(plane, y, x, FX_EDGE_NEAREST);
    }
}

void fx_corrupt_zoom(int severity, double *planes)
{
    static const int n_factors[] = { 7, 12, 16, 21, 26 }; /* 1, 1.01, 1.02 ... */
    double sum[FX_CORRUPT_PIXELS];

    for (int c = 0; c < 3; c++) {
        double *plane = planes + c * FX_CORRUPT_PIXELS;
        memcpy(sum, plane, sizeof sum);
        for (int f = 0; f < n_factors[severity - 1]; f++)
            add_zoomed(plane, 1 + 0.01 * f, sum);
        for (int p = 0; p < FX_CORRUPT_PIXELS; p++)
            plane[p] = sum[p] / (n_factors[severity - 1] + 1);
    }
}

/* ---- motion ---------------------------------------------------------------------------------- */

/* What a pixel leaves behind: weights of the whole pixels along a line. */
struct trail {
    int n, dx[2 * 9 + 1], dy[2 * 9 + 1];
    double weight[2 * 9 + 1];
};

/* Source: ImageMagick's MotionBlurImage: half a Gaussian. */
static struct trail draw_trail(const struct fx_corruptor *corruptor, uint32_t number)
{
    static const int radius[] = { 6, 6, 6, 8, 9 };
    static const double sigmas[] = { 1, 1.5, 2, 2, 2.5 };
    struct trail trail = { .n = 2 * radius[corruptor->severity - 1] + 1 };
    double sigma = sigmas[corruptor->severity - 1], sum = 0;
    double degrees = 90 * fx_corrupt_uniform(corruptor, number, 0) - 45;
    double angle = degrees / 180 * 3.14159265358979323846;

    for (int k = 0; k < trail.n; k++) {
        trail.dx[k] = (int)ceil(k * cos(angle) - 0.5);
        trail.dy[k] = (int)ceil(k * sin(angle) - 0.5);
        trail.weight[k] = exp(-k * k / (2 * sigma * sigma));
        sum += trail.weight[k];
    }
    for (int k = 0; k < trail.n; k++)
        trail.weight[k] /= sum;
    return trail;
}

void fx_corrupt_motion(const struct fx_corruptor *corruptor, uint32_t number, double *planes)
{
    const struct trail trail = draw_trail(corruptor, number);
    double sharp[FX_CORRUPT_PIXELS];

    for (int c = 0; c < 3; c++) {
        double *plane = planes + c * FX_CORRUPT_PIXELS;
        memcpy(sharp, plane, sizeof sharp);
        for (int p = 0; p < FX_CORRUPT_PIXELS; p++) {
            double sum = 0;
            for (int k = 0; k < trail.n; k++)
                sum += trail.weight[k] *
                       sharp[fx_corrupt_inside(p / SIDE + trail.dy[k], FX_EDGE_NEAREST) * SIDE +
                             fx_corrupt_inside(p % SIDE + trail.dx[k], FX_EDGE_NEAREST)];
            plane[p] = (rint(sum * 65535) + 0.5) / 65535; /* rounded to 16 bits, then cut off */
        }
    }
}
