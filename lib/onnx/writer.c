/* NodeProto, AttributeProto and TensorProto. */
#include "onnx/writer_internal.h"

/* The numbers of fields and enumerations in onnx.proto. */
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTRIBUTE = 5 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_F = 2, ATTRIBUTE_I = 3, ATTRIBUTE_INTS = 8 };
enum { ATTRIBUTE_TYPE = 20, TYPE_FLOAT = 1, TYPE_INT = 2, TYPE_INTS = 7 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9 };

/* ---- nodes ----------------------------------------------------------------------------------- */

void fx_onnx_begin(struct fx_onnx_writer *w, const char *op, const char *output)
{
    fx_pb_clear(&w->node);
    fx_pb_text(&w->node, NODE_OP, op);
    fx_pb_text(&w->node, NODE_NAME, output);
    fx_onnx_output(w, output);
}

void fx_onnx_output(struct fx_onnx_writer *w, const char *name)
{
    fx_pb_text(&w->node, NODE_OUTPUT, name);
}

void fx_onnx_input(struct fx_onnx_writer *w, const char *name)
{
    fx_pb_text(&w->node, NODE_INPUT, name);
}

static void put_attribute(struct fx_onnx_writer *w, const char *name, int type,
                          struct fx_pb *attribute)
{
    fx_pb_text(attribute, ATTRIBUTE_NAME, name);
    fx_pb_int(attribute, ATTRIBUTE_TYPE, type);
    fx_pb_message(&w->node, NODE_ATTRIBUTE, attribute);
    fx_pb_fini(attribute);
}

void fx_onnx_int(struct fx_onnx_writer *w, const char *attribute, int64_t value)
{
    struct fx_pb message = { 0 };

    fx_pb_int(&message, ATTRIBUTE_I, value);
    put_attribute(w, attribute, TYPE_INT, &message);
}

void fx_onnx_ints(struct fx_onnx_writer *w, const char *attribute, int n, const int64_t *values)
{
    struct fx_pb message = { 0 };

    for (int i = 0; i < n; i++)
        fx_pb_int(&message, ATTRIBUTE_INTS, values[i]);
    put_attribute(w, attribute, TYPE_INTS, &message);
}

void fx_onnx_float(struct fx_onnx_writer *w, const char *attribute, float value)
{
    struct fx_pb message = { 0 };

    fx_pb_float(&message, ATTRIBUTE_F, value);
    put_attribute(w, attribute, TYPE_FLOAT, &message);
}

void fx_onnx_end(struct fx_onnx_writer *w)
{
    fx_pb_message(&w->body, FX_ONNX_GRAPH_NODE, &w->node);
}

void fx_onnx_node1(struct fx_onnx_writer *w, const char *op, const char *output, const char *x)
{
    fx_onnx_begin(w, op, output);
    fx_onnx_input(w, x);
    fx_onnx_end(w);
}

void fx_onnx_node2(struct fx_onnx_writer *w, const char *op, const char *output, const char *x,
                   const char *y)
{
    fx_onnx_begin(w, op, output);
    fx_onnx_input(w, x);
    fx_onnx_input(w, y);
    fx_onnx_end(w);
}

/* ---- tensors --------------------------------------------------------------------------------- */

void fx_onnx_tensor_head(struct fx_pb *tensor, const char *name, int type, int n_dims,
                         const int64_t *shape, size_t n_bytes)
{
    for (int i = 0; i < n_dims; i++)
        fx_pb_int(tensor, TENSOR_DIMS, shape[i]);
    fx_pb_int(tensor, TENSOR_TYPE, type);
    fx_pb_text(tensor, TENSOR_NAME, name);
    fx_pb_begin(tensor, TENSOR_RAW, n_bytes);
}

static void put_constant(struct fx_onnx_writer *w, const char *name, int type, int n_dims,
                         const int64_t *shape, const void *bytes, size_t n_bytes)
{
    struct fx_pb tensor = { 0 };

    fx_onnx_tensor_head(&tensor, name, type, n_dims, shape, n_bytes);
    fx_pb_raw(&tensor, bytes, n_bytes);
    fx_pb_message(&w->body, FX_ONNX_GRAPH_INITIALIZER, &tensor);
    fx_pb_fini(&tensor);
}

void fx_onnx_const_ints(struct fx_onnx_writer *w, const char *name, int n, const int64_t *values)
{
    int64_t shape[1] = { n };

    put_constant(w, name, FX_ONNX_INT64, 1, shape, values, (size_t)n * sizeof *values);
}

void fx_onnx_const_floats(struct fx_onnx_writer *w, const char *name, int n_dims,
                          const int64_t *shape, const float *values)
{
    size_t n = 1;

    for (int i = 0; i < n_dims; i++)
        n *= (size_t)shape[i];
    put_constant(w, name, FX_ONNX_FLOAT, n_dims, shape, values, n * sizeof *values);
}
