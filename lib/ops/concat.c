/* Concatenation: runs of one input between runs of the others. */
#include "ops/operators.h"

#include <string.h>

void fx_concat_forward(size_t n_outer, size_t n_inner, size_t n_total, size_t offset,
                       const float *x, float *y)
{
    for (size_t i = 0; i < n_outer; i++)
        memcpy(y + i * n_total + offset, x + i * n_inner, n_inner * sizeof *x);
}

void fx_concat_backward(size_t n_outer, size_t n_inner, size_t n_total, size_t offset,
                        const float *dy, float *dx)
{
    for (size_t i = 0; i < n_outer; i++)
        for (size_t j = 0; j < n_inner; j++)
            dx[i * n_inner + j] += dy[i * n_total + offset + j];
}
