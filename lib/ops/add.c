/* The residual sum and its gradient, which is the same for both inputs. */
#include "ops/operators.h"

void fx_add_forward(size_t n, const float *a, const float *b, bool relu, float *y)
{
    for (size_t i = 0; i < n; i++) {
        float sum = a[i] + b[i];

        y[i] = relu && sum < 0 ? 0 : sum;
    }
}

void fx_add_backward(size_t n, const float *y, const float *dy, bool relu, float *dx)
{
    for (size_t i = 0; i < n; i++)
        if (!relu || y[i] > 0)
            dx[i] += dy[i];
}
