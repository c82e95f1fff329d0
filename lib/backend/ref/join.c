/* Residual sum and concatenation. */
#include "backend/ref/join.h"

#include <string.h>

void fx_ref_add(size_t n, const float *a, const float *b, bool relu, float *y)
{
    for (size_t i = 0; i < n; i++) {
        float sum = a[i] + b[i];

        y[i] = relu && sum < 0 ? 0 : sum;
    }
}

void fx_ref_add_backward(size_t n, const float *y, const float *dy, bool relu, float *dx)
{
    for (size_t i = 0; i < n; i++)
        if (!relu || y[i] > 0)
            dx[i] += dy[i];
}

void fx_ref_concat(size_t n_outer, size_t n_inner, size_t n_total, size_t offset, const float *x,
                   float *y)
{
    for (size_t i = 0; i < n_outer; i++)
        memcpy(y + i * n_total + offset, x + i * n_inner, n_inner * sizeof *x);
}

void fx_ref_concat_backward(size_t n_outer, size_t n_inner, size_t n_total, size_t offset,
                            const float *dy, float *dx)
{
    for (size_t i = 0; i < n_outer; i++)
        for (size_t j = 0; j < n_inner; j++)
            dx[i * n_inner + j] += dy[i * n_total + offset + j];
}
