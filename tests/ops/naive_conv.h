/* A convolution in all three directions as plain loops on the device, an output value a thread, and
 * the maps it works on: what full-size plans of the libraries are compared with (conv_full.c). */
#ifndef FX_TESTS_OPS_NAIVE_CONV_H
#define FX_TESTS_OPS_NAIVE_CONV_H

#include "backend/cuda/vendor/cudnn_plan.h"
#include "kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One convolution of n_lanes lanes.  w is in the type of maps for FORWARD and DATA, and the
 * weight's gradient, f32, for WEIGHTS. */
struct naive_conv {
    struct fx_k_map x, y;
    void *w;
    size_t w_lane; /* values between the weights of two lanes */
    struct fx_weight_layout layout;
    int n, h_in, w_in, h_out, w_out, stride, pad;
    bool adds; /* DATA is added to what naive_fill_map makes of x by x_seed */
    uint32_t x_seed;
};

/* Numbers between -1 and 1 by `seed`; zeros in the padding of channels. */
cudaError_t naive_fill_map(const struct fx_k_launch *l, const struct fx_k_map *map, int rows,
                           uint32_t seed);
/* Likewise; zeros between groups that were merged. */
cudaError_t naive_fill_weights(const struct fx_k_launch *l, const struct naive_conv *c,
                               uint32_t seed);
/* All bytes of a map 0xff, NaN. */
cudaError_t naive_spoil_map(const struct fx_k_launch *l, const struct fx_k_map *map, int rows);

/* Compares what `direction` writes with its own sums: every `step`-th row of a map, or output
 * channel of the weights.  The error of a value may be `of_sum` times the sum of absolute products
 * and `of_value` times the value.  *worst, on the device, becomes at least the largest error in
 * parts of what is allowed, as the bits of a float. */
cudaError_t naive_compare(const struct fx_k_launch *l, const struct naive_conv *c,
                          enum fx_conv_direction direction, int step, float of_sum, float of_value,
                          int *worst);

#ifdef __cplusplus
}
#endif
#endif
