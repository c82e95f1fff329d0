/* Convolution as a sum, NCHW f32 with double accumulation. */
#ifndef FX_BACKEND_REF_CONV2D_H
#define FX_BACKEND_REF_CONV2D_H

/* The numbers of one convolution: no bias, square kernel, zero padding. */
struct fx_conv2d {
    int n;
    int c_in, h_in, w_in;
    int c_out, h_out, w_out;
    int kernel, stride, pad, groups;
};

/* x (n, c_in, h_in, w_in), w (c_out, c_in/groups, kernel, kernel), y (n, c_out, h_out, w_out).
 * row: scratch of max(w_in, w_out) doubles.  y is written (=), gradients are added (+=). */
void fx_ref_conv2d(const struct fx_conv2d *k, const float *x, const float *w, float *y,
                   double *row);
void fx_ref_conv2d_data(const struct fx_conv2d *k, const float *dy, const float *w, float *dx,
                        double *row);
void fx_ref_conv2d_weight(const struct fx_conv2d *k, const float *x, const float *dy, float *dw);

#endif
