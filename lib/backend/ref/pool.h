/* Average pooling: 2x2 with stride 2, and over the whole map. */
#ifndef FX_BACKEND_REF_POOL_H
#define FX_BACKEND_REF_POOL_H

/* n_planes maps (images times channels) of h x w; an odd last row or column is left out.
 * y (n_planes, h/2, w/2) is written (=), dx is added to (+=). */
void fx_ref_avgpool2(int n_planes, int h, int w, const float *x, float *y);
void fx_ref_avgpool2_backward(int n_planes, int h, int w, const float *dy, float *dx);

/* y (n_planes): the mean of each map of `area` values. */
void fx_ref_globalpool(int n_planes, int area, const float *x, float *y);
void fx_ref_globalpool_backward(int n_planes, int area, const float *dy, float *dx);

#endif
