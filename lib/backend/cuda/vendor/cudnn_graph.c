/* A convolution as cuDNN's operation graph: three tensors and one operation. */
#include "backend/cuda/vendor/cudnn_engine_internal.h"

enum { ALIGNMENT_BYTES = 16 };

/* A packed tensor whose second dimension varies fastest: NHWC maps, KRSC weights. */
static cudnnBackendDescriptor_t tensor(struct fx_descriptors *set, int64_t id, bool bf16,
                                       const int64_t dims[4])
{
    int64_t c = dims[1], h = dims[2], w = dims[3];
    int64_t strides[] = { h * w * c, 1, w * c, c };
    cudnnDataType_t type = bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    cudnnBackendDescriptor_t d = fx_descriptor_begin(set, CUDNN_BACKEND_TENSOR_DESCRIPTOR);

    fx_descriptor_put_integer(set, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
    fx_descriptor_put(set, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    fx_descriptor_put(set, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    fx_descriptor_put(set, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    fx_descriptor_put_integer(set, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, ALIGNMENT_BYTES);
    fx_descriptor_end(set, d);
    return d;
}

static cudnnBackendDescriptor_t convolution(struct fx_descriptors *set,
                                            const struct fx_cudnn_shape *s)
{
    cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    int64_t pads[] = { s->pad, s->pad }, strides[] = { s->stride, s->stride }, ones[] = { 1, 1 };
    cudnnBackendDescriptor_t d = fx_descriptor_begin(set, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);

    fx_descriptor_put(set, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute);
    fx_descriptor_put(set, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1,
                      &mode);
    fx_descriptor_put_integer(set, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2);
    fx_descriptor_put(set, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
    fx_descriptor_put(set, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
    fx_descriptor_put(set, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides);
    fx_descriptor_put(set, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, ones);
    fx_descriptor_end(set, d);
    return d;
}

/* What the attributes of the operation are called in each direction. */
static const struct {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t convolution, x, w, y, alpha, beta;
} operations[FX_N_CONV_DIRECTIONS] = {
    [FX_CONV_FORWARD] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA },
    [FX_CONV_DATA] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA },
    [FX_CONV_WEIGHTS] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA },
};

/* Groups are not said anywhere: cuDNN takes them from the channels of x and w. */
static cudnnBackendDescriptor_t operation(struct fx_descriptors *set,
                                          const struct fx_cudnn_shape *s,
                                          enum fx_conv_direction direction)
{
    int64_t x_dims[] = { s->n, s->c_in, s->h_in, s->w_in };
    int64_t w_dims[] = { s->c_out, s->c_in / s->groups, s->kernel, s->kernel };
    int64_t y_dims[] = { s->n, s->c_out, s->h_out, s->w_out };
    float alpha = 1, beta = 0;
    cudnnBackendDescriptor_t x = tensor(set, FX_CUDNN_X, s->bf16, x_dims);
    cudnnBackendDescriptor_t w = tensor(set, FX_CUDNN_W, s->bf16, w_dims);
    cudnnBackendDescriptor_t y = tensor(set, FX_CUDNN_Y, s->bf16, y_dims);
    cudnnBackendDescriptor_t conv = convolution(set, s);
    cudnnBackendDescriptor_t d = fx_descriptor_begin(set, operations[direction].type);

    fx_descriptor_put_other(set, d, operations[direction].convolution, conv);
    fx_descriptor_put_other(set, d, operations[direction].x, x);
    fx_descriptor_put_other(set, d, operations[direction].w, w);
    fx_descriptor_put_other(set, d, operations[direction].y, y);
    fx_descriptor_put(set, d, operations[direction].alpha, CUDNN_TYPE_FLOAT, 1, &alpha);
    fx_descriptor_put(set, d, operations[direction].beta, CUDNN_TYPE_FLOAT, 1, &beta);
    fx_descriptor_end(set, d);
    return d;
}

cudnnBackendDescriptor_t fx_cudnn_graph(struct fx_descriptors *set,
                                        const struct fx_cudnn_shape *shape,
                                        enum fx_conv_direction direction)
{
    cudnnBackendDescriptor_t op = operation(set, shape, direction);
    cudnnBackendDescriptor_t graph =
        fx_descriptor_begin(set, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);

    fx_descriptor_put_other(set, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, op);
    fx_descriptor_end(set, graph);
    return graph;
}
