/* Writing the nodes and small constants of an ONNX graph; nodes.c says which. */
#ifndef FX_ONNX_WRITER_INTERNAL_H
#define FX_ONNX_WRITER_INTERNAL_H

#include "base/protobuf.h"
#include "net/builder.h"
#include "net/graph.h"

enum { FX_ONNX_NAME_BYTES = FX_BUILDER_PATH_BYTES + 16 };

/* The numbers of fields and enumerations in onnx.proto. */
enum { FX_ONNX_GRAPH_NODE = 1, FX_ONNX_GRAPH_INITIALIZER = 5 };
enum { FX_ONNX_FLOAT = 1, FX_ONNX_UINT8 = 2, FX_ONNX_INT64 = 7 };

struct fx_onnx_writer {
    const struct fx_graph *graph;      /* borrowed */
    const float *mean, *std;           /* borrowed: 3 each */
    char (*names)[FX_ONNX_NAME_BYTES]; /* owned: of the value of each node */
    struct fx_pb body;                 /* fields of GraphProto, as they come */
    struct fx_pb node;                 /* the NodeProto in progress */
};

/* A node: begin, its further inputs, its attributes, end.  Outputs come before the inputs. */
void fx_onnx_begin(struct fx_onnx_writer *w, const char *op, const char *output);
void fx_onnx_output(struct fx_onnx_writer *w, const char *name);
void fx_onnx_input(struct fx_onnx_writer *w, const char *name);
void fx_onnx_int(struct fx_onnx_writer *w, const char *attribute, int64_t value);
void fx_onnx_ints(struct fx_onnx_writer *w, const char *attribute, int n, const int64_t *values);
void fx_onnx_float(struct fx_onnx_writer *w, const char *attribute, float value);
void fx_onnx_end(struct fx_onnx_writer *w);

/* fx_onnx_node1, _node2: a whole node of one or two inputs, without attributes. */
void fx_onnx_node1(struct fx_onnx_writer *w, const char *op, const char *output, const char *x);
void fx_onnx_node2(struct fx_onnx_writer *w, const char *op, const char *output, const char *x,
                   const char *y);

/* Constants as initialisers: a list of whole numbers; floats of a shape. */
void fx_onnx_const_ints(struct fx_onnx_writer *w, const char *name, int n, const int64_t *values);
void fx_onnx_const_floats(struct fx_onnx_writer *w, const char *name, int n_dims,
                          const int64_t *shape, const float *values);

/* fx_onnx_tensor_head: a TensorProto of this name and shape whose n bytes of data follow. */
void fx_onnx_tensor_head(struct fx_pb *tensor, const char *name, int type, int n_dims,
                         const int64_t *shape, size_t n_bytes);

/* fx_onnx_name: what node i's value is called; the name itself becomes it by fx_onnx_emit. */
const char *fx_onnx_name(const struct fx_onnx_writer *w, int node);

/* fx_onnx_emit: the ONNX nodes of node i.  FX_EFAIL where its kind has none. */
enum fx_status fx_onnx_emit(struct fx_onnx_writer *w, int node, struct fx_err *err) FX_MUST_CHECK;

/* fx_onnx_emit_experts: all experts' logits as one value (batch, experts, classes). */
void fx_onnx_emit_experts(struct fx_onnx_writer *w, const char *output);

#endif
