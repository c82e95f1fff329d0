/* Average pooling: torch.nn.AvgPool2d(2), and the mean over the whole map (AdaptiveAvgPool2d(1)).
 */
#ifndef FX_OPS_POOL_H
#define FX_OPS_POOL_H

/* n_planes maps (images times channels) of h x w; an odd last row or column is left out.
 * y (n_planes, h/2, w/2) is written (=), dx is added to (+=). */
void fx_avgpool2_forward(int n_planes, int h, int w, const float *x, float *y);
void fx_avgpool2_backward(int n_planes, int h, int w, const float *dy, float *dx);

/* y (n_planes): the mean of each map of `area` values. */
void fx_globalpool_forward(int n_planes, int area, const float *x, float *y);
void fx_globalpool_backward(int n_planes, int area, const float *dy, float *dx);

#endif
