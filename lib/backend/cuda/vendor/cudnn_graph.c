/* Sets of cuDNN's descriptors: created, filled, read and destroyed together. */
#include "backend/cuda/vendor/cudnn_engine_internal.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keeps the first failure, with the last line of cuDNN's own account of it. */
static void note(struct fx_descriptors *set, cudnnStatus_t status)
{
    char text[1024] = "";

    if (status == CUDNN_STATUS_SUCCESS || set->status != CUDNN_STATUS_SUCCESS)
        return;
    set->status = status;
    cudnnGetLastErrorString(text, sizeof text);
    size_t n = strcspn(text, "\n");
    snprintf(set->why, sizeof set->why, "%s%s%.*s", cudnnGetErrorString(status), n > 0 ? ": " : "",
             (int)n, text);
}

void fx_descriptors_cut(struct fx_descriptors *set, int n)
{
    /* Backwards: a descriptor refers to earlier ones. */
    while (set->n > n)
        cudnnBackendDestroyDescriptor(set->items[--set->n]);
    set->status = CUDNN_STATUS_SUCCESS;
}

void fx_descriptors_fini(struct fx_descriptors *set)
{
    fx_descriptors_cut(set, 0);
    free(set->items);
    *set = (struct fx_descriptors){ 0 };
}

static bool has_room(struct fx_descriptors *set)
{
    if (set->n < set->cap)
        return true;
    int cap = set->cap > 0 ? 2 * set->cap : 16;
    void *items = realloc(set->items, (size_t)cap * sizeof *set->items);
    if (!items) {
        note(set, CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED);
        return false;
    }
    set->items = items;
    set->cap = cap;
    return true;
}

cudnnBackendDescriptor_t fx_descriptor_begin(struct fx_descriptors *set,
                                             cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t descriptor = NULL;

    if (set->status != CUDNN_STATUS_SUCCESS || !has_room(set))
        return NULL;
    note(set, cudnnBackendCreateDescriptor(type, &descriptor));
    if (set->status == CUDNN_STATUS_SUCCESS)
        set->items[set->n++] = descriptor;
    return descriptor;
}

void fx_descriptor_end(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor)
{
    if (set->status == CUDNN_STATUS_SUCCESS)
        note(set, cudnnBackendFinalize(descriptor));
}

void fx_descriptor_put(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor,
                       cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                       int64_t n, const void *values)
{
    if (set->status == CUDNN_STATUS_SUCCESS)
        note(set, cudnnBackendSetAttribute(descriptor, name, type, n, values));
}

void fx_descriptor_put_integer(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor,
                               cudnnBackendAttributeName_t name, int64_t value)
{
    fx_descriptor_put(set, descriptor, name, CUDNN_TYPE_INT64, 1, &value);
}

void fx_descriptor_put_other(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor,
                             cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t other)
{
    fx_descriptor_put(set, descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other);
}

int64_t fx_descriptor_get(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor,
                          cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                          int64_t max, void *values)
{
    int64_t n = 0;

    if (set->status == CUDNN_STATUS_SUCCESS)
        note(set, cudnnBackendGetAttribute(descriptor, name, type, max, &n, values));
    if (set->status != CUDNN_STATUS_SUCCESS)
        return 0;
    return max > 0 && n > max ? max : n; /* a newer library may have more than its header knew */
}

/* A convolution as cuDNN's operation graph: three tensors and one operation. */

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
    float alpha = 1, beta = s->add ? 1 : 0;
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
