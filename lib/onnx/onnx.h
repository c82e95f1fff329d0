/* Writes a model as an ONNX file: the forward pass in evaluation mode, from uint8 images to logits.
 *
 * Input "images", uint8 (batch, 3, 32, 32); outputs "fused", float (batch, classes), where there is
 * a fusion, and "experts", float (batch, experts, classes).  Opset 17.
 * Source: onnx.ai, "Open Neural Network Exchange Intermediate Representation", onnx.proto and
 * Operators.md. */
#ifndef FX_ONNX_ONNX_H
#define FX_ONNX_ONNX_H

#include "net/graph.h"
#include "tensor/safetensors.h"

struct fx_onnx_model {
    const struct fx_graph *graph;    /* borrowed */
    const struct fx_tensor_set *set; /* borrowed: the parameters, and the metadata that is copied */
    fx_tensor_fetch fetch;           /* as in fx_safetensors_write; NULL: all tensors have data */
    void *fetch_ctx;
    float mean[3], std[3]; /* of red, green and blue divided by 255 */
};

/* fx_onnx_write: writes the model to fd; `name` is the file's, for messages.  FX_EINPUT where it is
 * larger than such a file can be, FX_EFAIL where an operator has no form in ONNX. */
enum fx_status fx_onnx_write(const struct fx_onnx_model *model, int fd, const char *name,
                             struct fx_err *err) FX_MUST_CHECK;

#endif
