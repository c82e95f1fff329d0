/* Average pooling and its gradient: each of the values averaged gets an equal share. */
#include "ops/operators.h"

#include <stddef.h>

void fx_avgpool2_forward(int n_planes, int h, int w, const float *x, float *y)
{
    int h_out = h / 2, w_out = w / 2;

    for (int p = 0; p < n_planes; p++) {
        const float *from = x + (size_t)p * (size_t)(h * w);
        float *to = y + (size_t)p * (size_t)(h_out * w_out);

        for (int i = 0; i < h_out; i++) {
            for (int j = 0; j < w_out; j++) {
                const float *corner = from + 2 * i * w + 2 * j;

                to[i * w_out + j] = (float)(((double)corner[0] + (double)corner[1] +
                                             (double)corner[w] + (double)corner[w + 1]) /
                                            4);
            }
        }
    }
}

void fx_avgpool2_backward(int n_planes, int h, int w, const float *dy, float *dx)
{
    int h_out = h / 2, w_out = w / 2;

    for (int p = 0; p < n_planes; p++) {
        const float *from = dy + (size_t)p * (size_t)(h_out * w_out);
        float *to = dx + (size_t)p * (size_t)(h * w);

        for (int i = 0; i < h_out; i++) {
            for (int j = 0; j < w_out; j++) {
                float *corner = to + 2 * i * w + 2 * j;
                float share = from[i * w_out + j] / 4;

                corner[0] += share;
                corner[1] += share;
                corner[w] += share;
                corner[w + 1] += share;
            }
        }
    }
}

void fx_globalpool_forward(int n_planes, int area, const float *x, float *y)
{
    for (int p = 0; p < n_planes; p++) {
        double sum = 0;

        for (int i = 0; i < area; i++)
            sum += (double)x[(size_t)p * (size_t)area + (size_t)i];
        y[p] = (float)(sum / area);
    }
}

void fx_globalpool_backward(int n_planes, int area, const float *dy, float *dx)
{
    for (int p = 0; p < n_planes; p++)
        for (int i = 0; i < area; i++)
            dx[(size_t)p * (size_t)area + (size_t)i] += dy[p] / (float)area;
}
