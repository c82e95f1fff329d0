/* Pixels that move: behind rough glass each for itself, on an elastic sheet with their
 * neighbours. */
#include "image/corrupt_internal.h"

#include <math.h>
#include <string.h>

enum { SIDE = FX_CORRUPT_SIDE };

/* ---- glass ----------------------------------------------------------------------------------- */

static void smooth_planes(double *planes, double sigma)
{
    for (int c = 0; c < 3; c++)
        fx_corrupt_smooth(planes + c * FX_CORRUPT_PIXELS, sigma, 4, FX_EDGE_NEAREST);
}

/* Each pixel becomes the one above it or itself, and the one to the left or itself, the last pixels
 * first.  (The program of the benchmark means to exchange the two, but what it wrote copies.) */
static void shuffle(const struct fx_corruptor *corruptor, uint32_t number, uint32_t *n_drawn,
                    double *planes)
{
    for (int y = SIDE - 1; y > 1; y--)
        for (int x = SIDE - 1; x > 1; x--) {
            int dx = fx_corrupt_uniform(corruptor, number, (*n_drawn)++) < 0.5 ? -1 : 0;
            int dy = fx_corrupt_uniform(corruptor, number, (*n_drawn)++) < 0.5 ? -1 : 0;
            for (double *plane = planes; plane < planes + FX_CORRUPT_VALUES;
                 plane += FX_CORRUPT_PIXELS)
                plane[y * SIDE + x] = plane[(y + dy) * SIDE + x + dx];
        }
}

void fx_corrupt_glass(const struct fx_corruptor *corruptor, uint32_t number, double *planes)
{
    static const double sigma[] = { 0.05, 0.25, 0.4, 0.25, 0.4 };
    static const int n_shuffles[] = { 1, 1, 1, 2, 2 };
    int s = corruptor->severity - 1;
    uint32_t n_drawn = 0;

    smooth_planes(planes, sigma[s]);
    for (int i = 0; i < FX_CORRUPT_VALUES; i++)
        planes[i] = floor(planes[i] * 255) / 255;
    for (int i = 0; i < n_shuffles[s]; i++)
        shuffle(corruptor, number, &n_drawn, planes);
    smooth_planes(planes, sigma[s]);
}

/* ---- elastic --------------------------------------------------------------------------------- */

/* Where a pixel (x, y) of the stretched plane comes from. */
struct affine {
    double xx, xy, x0, yx, yy, y0;
};

/* Three corners of a square of 20 pixels about (16, 16) are moved by up to `most` in x and in y;
 * the plane follows.  The map back takes them to their place. */
static struct affine draw_affine(const struct fx_corruptor *corruptor, uint32_t number, double most)
{
    const double corner[3][2] = { { 26, 26 }, { 26, 6 }, { 6, 6 } };
    double to[3][2];

    for (uint32_t i = 0; i < 6; i++)
        to[i / 2][i % 2] =
            corner[i / 2][i % 2] + most * (2 * fx_corrupt_uniform(corruptor, number, i) - 1);
    /* The sides of the square, moved; one goes down and one to the right. */
    double down_x = (to[0][0] - to[1][0]) / 20, down_y = (to[0][1] - to[1][1]) / 20;
    double right_x = (to[1][0] - to[2][0]) / 20, right_y = (to[1][1] - to[2][1]) / 20;
    double det = right_x * down_y - right_y * down_x;
    struct affine back = {
        .xx = down_y / det, .xy = -down_x / det, .yx = -right_y / det, .yy = right_x / det
    };
    back.x0 = 6 - back.xx * to[2][0] - back.xy * to[2][1];
    back.y0 = 6 - back.yx * to[2][0] - back.yy * to[2][1];
    return back;
}

/* To 1/32 of a pixel, in which OpenCV interpolates: terms of 1/1024 are added. */
static double in_32nds(double slope, int i, double rest)
{
    return floor((rint(rest * 1024) + 16 + rint(slope * i * 1024)) / 32) / 32;
}

static void stretch(const struct affine *back, double *plane)
{
    double from[FX_CORRUPT_PIXELS];

    memcpy(from, plane, sizeof from);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            plane[y * SIDE + x] =
                fx_corrupt_between(from, in_32nds(back->yx, x, back->yy * y + back->y0),
                                   in_32nds(back->xx, x, back->xy * y + back->x0), FX_EDGE_MIRROR);
}

/* A field of displacements, alike where pixels are near. */
static void draw_field(const struct fx_corruptor *corruptor, uint32_t number, uint32_t n_drawn,
                       double *field)
{
    static const double alpha[] = { 0, 0.05, 0.08, 0.1, 0.1 },
                        sigma[] = { 0, 0.2, 0.06, 0.04, 0.03 };
    int s = corruptor->severity - 1;

    for (uint32_t p = 0; p < FX_CORRUPT_PIXELS; p++)
        field[p] = 2 * fx_corrupt_uniform(corruptor, number, n_drawn + p) - 1;
    fx_corrupt_smooth(field, SIDE * sigma[s], 3, FX_EDGE_REFLECT);
    for (int p = 0; p < FX_CORRUPT_PIXELS; p++)
        field[p] *= SIDE * alpha[s];
}

/* Source: Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied
 * to visual document analysis" (2003). */
void fx_corrupt_elastic(const struct fx_corruptor *corruptor, uint32_t number, double *planes)
{
    static const double most[] = { 0.08, 0.07, 0.06, 0.05, 0.03 };
    double dx[FX_CORRUPT_PIXELS], dy[FX_CORRUPT_PIXELS], from[FX_CORRUPT_PIXELS];
    struct affine back = draw_affine(corruptor, number, SIDE * most[corruptor->severity - 1]);

    draw_field(corruptor, number, 6, dx);
    draw_field(corruptor, number, 6 + FX_CORRUPT_PIXELS, dy);
    for (int c = 0; c < 3; c++) {
        double *plane = planes + c * FX_CORRUPT_PIXELS;
        stretch(&back, plane);
        memcpy(from, plane, sizeof from);
        for (int p = 0; p < FX_CORRUPT_PIXELS; p++)
            plane[p] =
                fx_corrupt_between(from, p / SIDE + dy[p], p % SIDE + dx[p], FX_EDGE_REFLECT);
    }
}
