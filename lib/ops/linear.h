/* Fully connected layer on rows with the ReLU behind it; torch.nn.Linear: y = relu(x W^T + b). */
#ifndef FX_OPS_LINEAR_H
#define FX_OPS_LINEAR_H

#include <stdbool.h>

struct fx_linear {
    int rows; /* images times tokens */
    int c_in, c_out;
    bool relu;
};

/* x (rows, c_in), w (c_out, c_in), b (c_out), y (rows, c_out) written with =. */
void fx_linear_forward(const struct fx_linear *k, const float *x, const float *w, const float *b,
                       float *y);
/* All gradients += ; dx may be NULL.  y: the forward result, for the ReLU. */
void fx_linear_backward(const struct fx_linear *k, const float *x, const float *w, const float *y,
                        const float *dy, float *dx, float *dw, float *db);

#endif
