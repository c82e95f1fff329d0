/* Residual sum with the ReLU behind it: y = relu(a + b).
 * Source: He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016). */
#ifndef FX_OPS_ADD_H
#define FX_OPS_ADD_H

#include <stdbool.h>
#include <stddef.h>

/* y = a + b, then ReLU if relu; n elements. */
void fx_add_forward(size_t n, const float *a, const float *b, bool relu, float *y);
/* dx += dy where the ReLU let the value pass: for each of the two inputs. */
void fx_add_backward(size_t n, const float *y, const float *dy, bool relu, float *dx);

#endif
