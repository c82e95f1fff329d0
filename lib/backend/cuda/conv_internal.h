/* Private to CONV2D of the cuda back end: a convolution as the libraries see it, and the ways to
 * compute the weight gradient of a 1x1 layer of stride 1. */
#ifndef FX_BACKEND_CUDA_CONV_INTERNAL_H
#define FX_BACKEND_CUDA_CONV_INTERNAL_H

#include "backend/cuda/cuda_internal.h"

struct fx_conv_geometry {
    struct fx_weight_layout layout;
    int n_groups; /* run one after the other, on group-major maps */
    int param;
    struct fx_k_map x, y;        /* what the node reads and makes, or their gradients */
    int rows;                    /* pixels of y */
    struct fx_cudnn_shape shape; /* of one group */
    /* when it is launched: */
    struct fx_k_array grad; /* of the weights; only for that direction */
    char *workspace;
};

/* ---- how it is computed (conv_ways.c) ---- */

/* A product of all lanes. */
struct fx_gemm_shape fx_conv_product_of(const struct fx_cuda_exec *exec,
                                        const struct fx_conv_geometry *g,
                                        enum fx_conv_direction direction);

enum fx_status fx_conv_compile_cudnn(const struct fx_cuda_exec *exec,
                                     const struct fx_conv_geometry *g,
                                     enum fx_conv_direction direction, struct fx_compiled *compiled,
                                     size_t *workspace, struct fx_err *err) FX_MUST_CHECK;
/* All lanes and groups: w is lane 0's weight or gradient, w_lane the values to the next lane's. */
enum fx_status fx_conv_launch_cudnn(const struct fx_cuda_exec *exec,
                                    const struct fx_conv_geometry *g, char *w, size_t w_lane,
                                    const struct fx_compiled *compiled,
                                    struct fx_err *err) FX_MUST_CHECK;

/* Ways to compute the weight gradient of a 1x1 layer of stride 1. */
enum fx_conv_way {
    FX_CONV_WHOLE, /* one product of all lanes */
    FX_CONV_PARTS, /* for each lane a product of parts (parts.h); our own sum */
    FX_CONV_CUDNN, /* for each lane a convolution by cuDNN, in the type of maps */
    FX_N_CONV_WAYS
};

/* fx_conv_compile_way: FX_EDEVICE where this way is not possible. */
enum fx_status fx_conv_compile_way(const struct fx_cuda_exec *exec,
                                   const struct fx_conv_geometry *g, enum fx_conv_way way,
                                   struct fx_compiled *compiled, size_t *workspace,
                                   struct fx_err *err) FX_MUST_CHECK;
/* fx_conv_compile_by_rule: by one product or, where that leaves most of the device idle, by parts.
 */
enum fx_status fx_conv_compile_by_rule(const struct fx_cuda_exec *exec,
                                       const struct fx_conv_geometry *g,
                                       struct fx_compiled *compiled, size_t *workspace,
                                       struct fx_err *err) FX_MUST_CHECK;
/* fx_conv_launch_weights: of any layer, as it was compiled. */
enum fx_status fx_conv_launch_weights(const struct fx_cuda_exec *exec,
                                      const struct fx_conv_geometry *g,
                                      const struct fx_compiled *compiled,
                                      struct fx_err *err) FX_MUST_CHECK;

/* ---- which way is taken (conv_weights.c) ---- */

/* fx_conv_compile_weights: by the rule or, with FUSION_CUDNN_TUNE=1, by the fastest way. */
enum fx_status fx_conv_compile_weights(const struct fx_cuda_exec *exec,
                                       const struct fx_conv_geometry *g,
                                       struct fx_compiled *compiled, size_t *workspace,
                                       struct fx_err *err) FX_MUST_CHECK;

#endif
