/* To 32 x 32: a triangle as wide as the pixel of the result, at least as wide as one of the
 * source, over rows, then over columns; weights in fixed point and a rounding to bytes between the
 * two, as Pillow's resize with BILINEAR does it (Pillow 9.4, src/libImaging/Resample.c).  Only what
 * lies in the centre is computed. */
#include "image/picture.h"

#include "data/dataset.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { SIDE = FX_IMAGE_SIDE, WEIGHT_BITS = 22 };

/* ---- weights of one direction ---------------------------------------------------------------- */

/* For each of the 32 pixels of the result: n weights from pixel `first` of the source on. */
struct weights {
    int first[SIDE], n[SIDE];
    int stride;
    int32_t *values; /* owned: (SIDE, stride) */
};

/* Fills pixel i of the result, which is pixel `at` of a resized line of `n_out`. */
static void set_pixel(struct weights *w, int i, int64_t at, int n_in, int64_t n_out)
{
    double scale = (double)n_in / (double)n_out, support = scale < 1 ? 1 : scale;
    double centre = ((double)at + 0.5) * scale, sum = 0;
    int first = (int)fmax(centre - support + 0.5, 0);
    int end = (int)fmin(centre + support + 0.5, n_in);
    int32_t *values = w->values + (size_t)i * (size_t)w->stride;

    for (int x = first; x < end; x++)
        sum += fmax(1 - fabs((x - centre + 0.5) * (1 / support)), 0);
    for (int x = first; x < end; x++) {
        double weight = fmax(1 - fabs((x - centre + 0.5) * (1 / support)), 0) / sum;
        values[x - first] = (int32_t)(0.5 + weight * (1 << WEIGHT_BITS));
    }
    w->first[i] = first;
    w->n[i] = end - first;
}

/* Half to even, as Python rounds. */
static int64_t centre_of(int64_t n)
{
    int64_t half = (n - SIDE) / 2;

    return half + ((n - SIDE) % 2 != 0 && half % 2 != 0);
}

/* A side of n_in pixels of a picture whose shorter one has n_short. */
static bool set_weights(struct weights *w, int n_in, int n_short)
{
    int64_t n_out = (int64_t)SIDE * n_in / n_short;
    double scale = (double)n_in / (double)n_out;

    w->stride = 2 * (int)ceil(scale < 1 ? 1 : scale) + 1;
    w->values = malloc((size_t)SIDE * (size_t)w->stride * sizeof *w->values);
    for (int i = 0; w->values && i < SIDE; i++)
        set_pixel(w, i, centre_of(n_out) + i, n_in, n_out);
    return w->values;
}

/* The weighted sum of n bytes, `step` apart, and 0.5, cut off. */
static uint8_t blend(const uint8_t *at, ptrdiff_t step, const int32_t *weights, int n)
{
    int32_t sum = 1 << (WEIGHT_BITS - 1);

    for (int i = 0; i < n; i++)
        sum += at[i * step] * weights[i];
    sum >>= WEIGHT_BITS;
    return (uint8_t)(sum > 255 ? 255 : sum);
}

/* ---- both directions ------------------------------------------------------------------------- */

/* The picture upright: where its first pixel lies, and how far the next ones are. */
struct view {
    const uint8_t *at;
    int width, height;
    ptrdiff_t x_step, y_step;
};

static struct view upright(const struct fx_picture *picture)
{
    int turn = picture->orientation;
    bool mirrors_x = turn == 2 || turn == 3 || turn == 7 || turn == 8;
    bool mirrors_y = turn == 3 || turn == 4 || turn == 6 || turn == 7;
    int width = picture->width, height = picture->height;
    ptrdiff_t x_step = 3, y_step = 3 * (ptrdiff_t)width;
    const uint8_t *at = picture->rgb;

    if (mirrors_x) {
        at += (width - 1) * x_step;
        x_step = -x_step;
    }
    if (mirrors_y) {
        at += (height - 1) * y_step;
        y_step = -y_step;
    }
    if (turn >= 5)
        return (struct view){ at, height, width, y_step, x_step };
    return (struct view){ at, width, height, x_step, y_step };
}

/* The rows that the result needs, 32 pixels each: (rows, 32, 3). */
static void blend_rows(const struct view *view, const struct weights *across, int first, int n_rows,
                       uint8_t *rows)
{
    for (int y = 0; y < n_rows; y++)
        for (int x = 0; x < SIDE; x++)
            for (int c = 0; c < 3; c++)
                *rows++ = blend(view->at + (first + y) * view->y_step +
                                    across->first[x] * view->x_step + c,
                                view->x_step, across->values + x * across->stride, across->n[x]);
}

static void blend_columns(const uint8_t *rows, const struct weights *down, uint8_t *image)
{
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++)
                *image++ = blend(rows + 3 * ((down->first[y] - down->first[0]) * SIDE + x) + c,
                                 3 * SIDE, down->values + y * down->stride, down->n[y]);
}

enum fx_status fx_picture_fit(const struct fx_picture *picture, uint8_t *image, struct fx_err *err)
{
    struct view view = upright(picture);
    int n_short = view.width < view.height ? view.width : view.height;
    struct weights across = { 0 }, down = { 0 };
    uint8_t *rows = NULL;
    enum fx_status status = FX_OK;

    if (set_weights(&across, view.width, n_short) && set_weights(&down, view.height, n_short)) {
        int n_rows = down.first[SIDE - 1] + down.n[SIDE - 1] - down.first[0];
        rows = malloc((size_t)n_rows * SIDE * 3);
        if (rows) {
            blend_rows(&view, &across, down.first[0], n_rows, rows);
            blend_columns(rows, &down, image);
        }
    }
    if (!rows)
        status = fx_fail(err, FX_EFAIL, "out of memory");
    free(rows);
    free(across.values);
    free(down.values);
    return status;
}
