/* y = relu(x W^T + b); with dz the gradient before the ReLU: dx = dz W, dW = dz^T x, db = sum dz.
 */
#include "ops/operators.h"

#include <stddef.h>

static double before_relu(const struct fx_linear *k, const float *y, const float *dy, int i, int o)
{
    size_t at = (size_t)i * (size_t)k->c_out + (size_t)o;

    return k->relu && y[at] <= 0 ? 0 : (double)dy[at];
}

void fx_linear_forward(const struct fx_linear *k, const float *x, const float *w, const float *b,
                       float *y)
{
    for (int i = 0; i < k->rows; i++) {
        for (int o = 0; o < k->c_out; o++) {
            const float *xi = x + (size_t)i * (size_t)k->c_in;
            const float *wo = w + (size_t)o * (size_t)k->c_in;
            double sum = (double)b[o];

            for (int c = 0; c < k->c_in; c++)
                sum += (double)wo[c] * (double)xi[c];
            y[(size_t)i * (size_t)k->c_out + (size_t)o] = (float)(k->relu && sum < 0 ? 0 : sum);
        }
    }
}

/* dx[i,c] += sum_o dz[i,o] w[o,c] */
static void backward_data(const struct fx_linear *k, const float *w, const float *y,
                          const float *dy, float *dx)
{
    for (int i = 0; i < k->rows; i++) {
        for (int c = 0; c < k->c_in; c++) {
            double sum = 0;

            for (int o = 0; o < k->c_out; o++)
                sum += before_relu(k, y, dy, i, o) *
                       (double)w[(size_t)o * (size_t)k->c_in + (size_t)c];
            dx[(size_t)i * (size_t)k->c_in + (size_t)c] += (float)sum;
        }
    }
}

void fx_linear_backward(const struct fx_linear *k, const float *x, const float *w, const float *y,
                        const float *dy, float *dx, float *dw, float *db)
{
    if (dx)
        backward_data(k, w, y, dy, dx);
    for (int o = 0; dw && o < k->c_out; o++) {
        double sum = 0;

        for (int i = 0; i < k->rows; i++)
            sum += before_relu(k, y, dy, i, o);
        db[o] += (float)sum;
        for (int c = 0; c < k->c_in; c++) {
            sum = 0;
            for (int i = 0; i < k->rows; i++)
                sum += before_relu(k, y, dy, i, o) *
                       (double)x[(size_t)i * (size_t)k->c_in + (size_t)c];
            dw[(size_t)o * (size_t)k->c_in + (size_t)c] += (float)sum;
        }
    }
}
