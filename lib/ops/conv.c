/* y[n,o,i,j] = sum_{c,r,s} w[o,c,r,s] * x[n, c, i*stride - pad + r, j*stride - pad + s], with c
 * over the input channels of o's group and x zero outside the image; and its two gradients.  A row
 * of the result is accumulated at a time, so that the innermost loop runs along x. */
#include "ops/operators.h"

#include <stddef.h>
#include <string.h>

/* The output columns [begin, end) whose input column, for kernel column s, is inside the image. */
struct columns {
    int begin, end;
};

static struct columns columns_of(const struct fx_conv2d *k, int s)
{
    int first = k->pad - s, last = k->w_in - 1 + k->pad - s;
    struct columns range = { 0, 0 };

    if (last < 0)
        return range;
    range.begin = first > 0 ? (first + k->stride - 1) / k->stride : 0;
    range.end = last / k->stride + 1;
    if (range.end > k->w_out)
        range.end = k->w_out;
    return range;
}

static size_t x_row(const struct fx_conv2d *k, int n, int c, int i)
{
    return (((size_t)n * (size_t)k->c_in + (size_t)c) * (size_t)k->h_in + (size_t)i) *
           (size_t)k->w_in;
}

static size_t y_row(const struct fx_conv2d *k, int n, int o, int i)
{
    return (((size_t)n * (size_t)k->c_out + (size_t)o) * (size_t)k->h_out + (size_t)i) *
           (size_t)k->w_out;
}

/* w[o, c, r, 0], with c counted within the group. */
static size_t w_row(const struct fx_conv2d *k, int o, int c, int r)
{
    return (((size_t)o * (size_t)(k->c_in / k->groups) + (size_t)c) * (size_t)k->kernel +
            (size_t)r) *
           (size_t)k->kernel;
}

/* row[j] += sum_s w[s] * x[j*stride - pad + s] */
static void add_row(const struct fx_conv2d *k, const float *x, const float *w, double *row)
{
    for (int s = 0; s < k->kernel; s++) {
        struct columns range = columns_of(k, s);

        for (int j = range.begin; j < range.end; j++)
            row[j] += (double)w[s] * (double)x[j * k->stride - k->pad + s];
    }
}

void fx_conv2d_forward(const struct fx_conv2d *k, const float *x, const float *w, float *y,
                       double *row)
{
    int c_group = k->c_in / k->groups, o_group = k->c_out / k->groups;

    for (int n = 0; n < k->n; n++) {
        for (int o = 0; o < k->c_out; o++) {
            int first = o / o_group * c_group;

            for (int i = 0; i < k->h_out; i++) {
                float *out = y + y_row(k, n, o, i);

                memset(row, 0, (size_t)k->w_out * sizeof *row);
                for (int c = 0; c < c_group; c++) {
                    for (int r = 0; r < k->kernel; r++) {
                        int h = i * k->stride - k->pad + r;

                        if (h >= 0 && h < k->h_in)
                            add_row(k, x + x_row(k, n, first + c, h), w + w_row(k, o, c, r), row);
                    }
                }
                for (int j = 0; j < k->w_out; j++)
                    out[j] = (float)row[j];
            }
        }
    }
}

/* row[j*stride - pad + s] += sum_s w[s] * dy[j] */
static void spread_row(const struct fx_conv2d *k, const float *dy, const float *w, double *row)
{
    for (int s = 0; s < k->kernel; s++) {
        struct columns range = columns_of(k, s);

        for (int j = range.begin; j < range.end; j++)
            row[j * k->stride - k->pad + s] += (double)w[s] * (double)dy[j];
    }
}

/* The part of dx's row h of channel c: every output row i and kernel row r that meet in it. */
static void gather_row(const struct fx_conv2d *k, int n, int c, int h, const float *dy,
                       const float *w, double *row)
{
    int c_group = k->c_in / k->groups, o_group = k->c_out / k->groups;
    int first = c / c_group * o_group;

    for (int o = first; o < first + o_group; o++) {
        for (int r = 0; r < k->kernel; r++) {
            int i = h + k->pad - r;

            if (i < 0 || i % k->stride != 0 || i / k->stride >= k->h_out)
                continue;
            spread_row(k, dy + y_row(k, n, o, i / k->stride), w + w_row(k, o, c % c_group, r), row);
        }
    }
}

void fx_conv2d_backward_data(const struct fx_conv2d *k, const float *dy, const float *w, float *dx,
                             double *row)
{
    for (int n = 0; n < k->n; n++) {
        for (int c = 0; c < k->c_in; c++) {
            for (int h = 0; h < k->h_in; h++) {
                float *out = dx + x_row(k, n, c, h);

                memset(row, 0, (size_t)k->w_in * sizeof *row);
                gather_row(k, n, c, h, dy, w, row);
                for (int j = 0; j < k->w_in; j++)
                    out[j] += (float)row[j];
            }
        }
    }
}

/* sum_{n,i,j} dy[n,o,i,j] * x[n, c, i*stride - pad + r, j*stride - pad + s], c over all channels.
 */
static double weight_sum(const struct fx_conv2d *k, const float *x, const float *dy, int o, int c,
                         int r, int s)
{
    struct columns range = columns_of(k, s);
    double sum = 0;

    for (int n = 0; n < k->n; n++) {
        for (int i = 0; i < k->h_out; i++) {
            int h = i * k->stride - k->pad + r;
            const float *from = x + x_row(k, n, c, h < 0 || h >= k->h_in ? 0 : h);
            const float *with = dy + y_row(k, n, o, i);

            if (h < 0 || h >= k->h_in)
                continue;
            for (int j = range.begin; j < range.end; j++)
                sum += (double)with[j] * (double)from[j * k->stride - k->pad + s];
        }
    }
    return sum;
}

void fx_conv2d_backward_weight(const struct fx_conv2d *k, const float *x, const float *dy,
                               float *dw)
{
    int c_group = k->c_in / k->groups, o_group = k->c_out / k->groups;

    for (int o = 0; o < k->c_out; o++) {
        int first = o / o_group * c_group;

        for (int c = 0; c < c_group; c++)
            for (int r = 0; r < k->kernel; r++)
                for (int s = 0; s < k->kernel; s++)
                    dw[w_row(k, o, c, r) + (size_t)s] +=
                        (float)weight_sum(k, x, dy, o, first + c, r, s);
    }
}
