/* ModelProto and GraphProto.  The weights, nearly all of the file, are written from where they lie:
 * what stands before each is made, and measured, first. */
#include "onnx/onnx.h"

#include "base/io.h"
#include "base/tool.h"
#include "onnx/writer_internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The numbers of fields in onnx.proto. */
enum { MODEL_IR_VERSION = 1, MODEL_PRODUCER = 2, MODEL_PRODUCER_VERSION = 3, MODEL_GRAPH = 7 };
enum { MODEL_OPSET = 8, OPSET_VERSION = 2, MODEL_METADATA = 14, ENTRY_KEY = 1, ENTRY_VALUE = 2 };
enum { GRAPH_NAME = 2, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12, VALUE_NAME = 1, VALUE_TYPE = 2 };
enum { TYPE_TENSOR = 1, TENSOR_ELEMENT = 1, TENSOR_SHAPE = 2 };
enum { SHAPE_DIM = 1, DIM_VALUE = 1, DIM_PARAM = 2 };

/* LayerNormalization is from opset 17 of 2022, which came with version 8 of the format. */
enum { IR_VERSION = 8, OPSET = 17 };

/* What the file says beside the network. */
static const char *const meta_keys[] = { "arch",    "fusion",      "fused",        "experts",
                                         "classes", "fine_labels", "mean",         "std",
                                         "epoch",   "step",        "val_accuracy", "data_digest" };

/* ---- names ----------------------------------------------------------------------------------- */

/* That of the layer, as PyTorch calls it, where it has a weight. */
static void name_value(const struct fx_graph *graph, int i, char name[FX_ONNX_NAME_BYTES])
{
    static const char suffix[] = ".weight";
    const struct fx_node *node = &graph->nodes[i];
    const char *param = node->n_params > 0 ? graph->params[node->params[0]].name : "";
    size_t n = strlen(param), n_suffix = strlen(suffix);

    if (i == graph->fused)
        snprintf(name, FX_ONNX_NAME_BYTES, "fused");
    else if (n > n_suffix && strcmp(param + n - n_suffix, suffix) == 0)
        snprintf(name, FX_ONNX_NAME_BYTES, "%.*s", (int)(n - n_suffix), param);
    else
        snprintf(name, FX_ONNX_NAME_BYTES, "value_%d", i);
}

/* ---- the graph without its weights ----------------------------------------------------------- */

/* A value that goes in or out: (batch, dims ...). */
static void put_value(struct fx_pb *graph, int field, const char *name, int type, int n_dims,
                      const int *dims)
{
    struct fx_pb value = { 0 }, whole = { 0 }, tensor = { 0 }, shape = { 0 }, dim = { 0 };

    fx_pb_text(&dim, DIM_PARAM, "batch");
    fx_pb_message(&shape, SHAPE_DIM, &dim);
    for (int i = 0; i < n_dims; i++) {
        fx_pb_clear(&dim);
        fx_pb_int(&dim, DIM_VALUE, dims[i]);
        fx_pb_message(&shape, SHAPE_DIM, &dim);
    }
    fx_pb_int(&tensor, TENSOR_ELEMENT, type);
    fx_pb_message(&tensor, TENSOR_SHAPE, &shape);
    fx_pb_message(&whole, TYPE_TENSOR, &tensor);
    fx_pb_text(&value, VALUE_NAME, name);
    fx_pb_message(&value, VALUE_TYPE, &whole);
    fx_pb_message(graph, field, &value);
    fx_pb_fini(&value);
    fx_pb_fini(&whole);
    fx_pb_fini(&tensor);
    fx_pb_fini(&shape);
    fx_pb_fini(&dim);
}

static void put_values(struct fx_pb *body, const struct fx_graph *graph)
{
    struct fx_value_shape s = graph->nodes[graph->input].shape;
    int image[] = { s.c, s.h, s.w }, logits[] = { graph->n_experts, graph->n_classes };

    put_value(body, GRAPH_INPUT, "images", FX_ONNX_UINT8, 3, image);
    if (graph->fused >= 0)
        put_value(body, GRAPH_OUTPUT, "fused", FX_ONNX_FLOAT, 1, logits + 1);
    put_value(body, GRAPH_OUTPUT, "experts", FX_ONNX_FLOAT, 2, logits);
}

static enum fx_status put_graph(struct fx_onnx_writer *w, struct fx_err *err)
{
    fx_pb_text(&w->body, GRAPH_NAME, "fusion-tools");
    put_values(&w->body, w->graph);
    for (int i = 0; i < w->graph->n_nodes; i++)
        FX_TRY(fx_onnx_emit(w, i, err));
    fx_onnx_emit_experts(w, "experts");
    return FX_OK;
}

/* ---- the model ------------------------------------------------------------------------------- */

static void put_metadata(struct fx_pb *model, const struct fx_tensor_set *set)
{
    struct fx_pb entry = { 0 };

    for (size_t i = 0; i < sizeof meta_keys / sizeof *meta_keys; i++) {
        const char *value = fx_tensor_set_meta(set, meta_keys[i]);

        if (!value)
            continue;
        fx_pb_clear(&entry);
        fx_pb_text(&entry, ENTRY_KEY, meta_keys[i]);
        fx_pb_text(&entry, ENTRY_VALUE, value);
        fx_pb_message(model, MODEL_METADATA, &entry);
    }
    fx_pb_fini(&entry);
}

static void put_facts(struct fx_pb *model, const struct fx_tensor_set *set)
{
    struct fx_pb opset = { 0 };

    fx_pb_int(model, MODEL_IR_VERSION, IR_VERSION);
    fx_pb_text(model, MODEL_PRODUCER, "fusion-tools");
    fx_pb_text(model, MODEL_PRODUCER_VERSION, fx_version);
    fx_pb_int(&opset, OPSET_VERSION, OPSET);
    fx_pb_message(model, MODEL_OPSET, &opset);
    put_metadata(model, set);
    fx_pb_fini(&opset);
}

static size_t bytes_of(const struct fx_param *param)
{
    return (size_t)param->n_elements * sizeof(float);
}

/* The field of GraphProto that a parameter is, up to its data. */
static void put_weight_head(struct fx_pb *head, const struct fx_param *param)
{
    struct fx_pb tensor = { 0 };

    fx_pb_clear(head);
    fx_onnx_tensor_head(&tensor, param->name, FX_ONNX_FLOAT, param->n_dims, param->shape,
                        bytes_of(param));
    fx_pb_begin(head, FX_ONNX_GRAPH_INITIALIZER, tensor.n + bytes_of(param));
    fx_pb_raw(head, tensor.bytes, tensor.n);
    head->failed |= tensor.failed;
    fx_pb_fini(&tensor);
}

/* Bytes of all weights with what stands before them, and of the largest one alone. */
static void measure_weights(const struct fx_graph *graph, struct fx_pb *head, size_t *n_all,
                            size_t *n_largest)
{
    *n_all = *n_largest = 0;
    for (int i = 0; i < graph->n_params; i++) {
        const struct fx_param *param = &graph->params[i];

        if (param->kind == FX_PARAM_COUNTER)
            continue;
        put_weight_head(head, param);
        *n_all += head->n + bytes_of(param);
        *n_largest = bytes_of(param) > *n_largest ? bytes_of(param) : *n_largest;
    }
}

static enum fx_status write_weight(const struct fx_onnx_model *model, const struct fx_param *param,
                                   struct fx_pb *head, void *fetched, int fd, const char *name,
                                   struct fx_err *err)
{
    const struct fx_tensor *tensor = fx_tensor_set_find(model->set, param->name);
    const void *data = tensor ? tensor->data : NULL;

    if (!tensor || tensor->n_bytes != bytes_of(param))
        return fx_fail(err, FX_EINPUT, "%s: missing", param->name);
    if (!data) {
        FX_TRY(model->fetch(model->fetch_ctx, tensor, fetched, err));
        data = fetched;
    }
    put_weight_head(head, param);
    if (head->failed)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", name);
    FX_TRY(fx_write_full(fd, head->bytes, head->n, name, err));
    return fx_write_full(fd, data, bytes_of(param), name, err);
}

static enum fx_status write_weights(const struct fx_onnx_model *model, size_t n_largest, int fd,
                                    const char *name, struct fx_err *err)
{
    void *fetched = malloc(n_largest + 1);
    struct fx_pb head = { 0 };
    enum fx_status status = FX_OK;

    if (!fetched)
        status = fx_fail(err, FX_EFAIL, "%s: out of memory", name);
    for (int i = 0; status == FX_OK && i < model->graph->n_params; i++)
        if (model->graph->params[i].kind != FX_PARAM_COUNTER)
            status = write_weight(model, &model->graph->params[i], &head, fetched, fd, name, err);
    fx_pb_fini(&head);
    free(fetched);
    return status;
}

/* The model's own fields, then the graph: nodes, then weights. */
static enum fx_status write_model(const struct fx_onnx_model *model, struct fx_onnx_writer *w,
                                  int fd, const char *name, struct fx_err *err)
{
    struct fx_pb front = { 0 };
    size_t n_weights, n_largest;
    enum fx_status status;

    measure_weights(model->graph, &front, &n_weights, &n_largest);
    fx_pb_clear(&front);
    put_facts(&front, model->set);
    fx_pb_begin(&front, MODEL_GRAPH, w->body.n + n_weights);
    if (front.failed || w->body.failed || w->node.failed)
        status = fx_fail(err, FX_EFAIL, "%s: out of memory", name);
    else if (front.n + w->body.n + n_weights > INT_MAX)
        status = fx_fail(err, FX_EINPUT,
                         "an ONNX file holds %d bytes, as all Protocol Buffers do; this model "
                         "takes %zu",
                         INT_MAX, front.n + w->body.n + n_weights);
    else
        status = fx_write_full(fd, front.bytes, front.n, name, err);
    if (status == FX_OK)
        status = fx_write_full(fd, w->body.bytes, w->body.n, name, err);
    if (status == FX_OK)
        status = write_weights(model, n_largest, fd, name, err);
    fx_pb_fini(&front);
    return status;
}

enum fx_status fx_onnx_write(const struct fx_onnx_model *model, int fd, const char *name,
                             struct fx_err *err)
{
    struct fx_onnx_writer w = { .graph = model->graph, .mean = model->mean, .std = model->std };
    enum fx_status status;

    w.names = calloc((size_t)model->graph->n_nodes + 1, sizeof *w.names);
    if (!w.names)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", name);
    for (int i = 0; i < model->graph->n_nodes; i++)
        name_value(model->graph, i, w.names[i]);
    status = put_graph(&w, err);
    if (status == FX_OK)
        status = write_model(model, &w, fd, name, err);
    fx_pb_fini(&w.body);
    fx_pb_fini(&w.node);
    free(w.names);
    return status;
}
