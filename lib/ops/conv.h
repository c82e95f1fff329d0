/* Two-dimensional convolution, NCHW, with torch.nn.Conv2d's definition (cross-correlation): square
 * kernel, zero padding, groups, no bias.  f32 values, sums in double.
 *
 *   y[n,o,i,j] = sum_{c,r,s} w[o,c,r,s] * x[n, c, i*stride - pad + r, j*stride - pad + s] */
#ifndef FX_OPS_CONV_H
#define FX_OPS_CONV_H

struct fx_conv2d {
    int n;
    int c_in, h_in, w_in;
    int c_out, h_out, w_out;
    int kernel, stride, pad, groups;
};

/* x (n, c_in, h_in, w_in), w (c_out, c_in/groups, kernel, kernel), y (n, c_out, h_out, w_out).
 * row: scratch of max(w_in, w_out) doubles.  y is written (=), gradients are added (+=). */
void fx_conv2d_forward(const struct fx_conv2d *k, const float *x, const float *w, float *y,
                       double *row);
void fx_conv2d_backward_data(const struct fx_conv2d *k, const float *dy, const float *w, float *dx,
                             double *row);
void fx_conv2d_backward_weight(const struct fx_conv2d *k, const float *x, const float *dy,
                               float *dw);

#endif
