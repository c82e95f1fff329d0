/* ONNX files without a reader of ONNX: the bytes are messages of the description, every node reads
 * what is there before it, every parameter stands in the file with its bytes; too large is refused.
 * What the files compute is compared in tests/onnx. */
#include "base/protobuf.h"
#include "net/arch.h"
#include "net/fusion.h"
#include "net/model.h"
#include "onnx/onnx.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

/* Fields of onnx.proto. */
enum { MODEL_IR = 1, MODEL_GRAPH = 7, MODEL_OPSET = 8, MODEL_METADATA = 14 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTRIBUTE = 5 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum { FLOAT = 1, INT64 = 7 };

static const char *const archs[] = {
    "resnet18:width=4,blocks=1-1-1-1",
    "densenet121:growth=4,blocks=2-2-2-2",
    "improved_wideresnet28_10:depth=10,width=1",
    "preact_resnext29_8x64d:depth=11,cardinality=2,base_width=8,width=8",
    "preact_resnet18:width=4,blocks=1-1-1-1",
};

/* ---- a model, its values all different --------------------------------------------------------
 */

static void build(struct fx_graph *graph, const char *arch, const char *fusion, int n_experts,
                  enum fx_fused_form fused)
{
    struct fx_model_config config = { .arch = arch,
                                      .fusion = fusion,
                                      .n_experts = n_experts,
                                      .n_classes = 10,
                                      .expert_dropout = -1,
                                      .fusion_dropout = -1,
                                      .fused = fused };
    struct fx_err err = { 0 };

    if (fx_model_build(graph, &config, &err) != FX_OK)
        fail_msg("%s + %s: %s", arch, fusion ? fusion : "none", err.msg);
}

static void fill(struct fx_tensor_set *set, const struct fx_graph *graph)
{
    struct fx_err err = { 0 };
    float next = 0;
    void *data;

    fx_tensor_set_init(set);
    for (int i = 0; i < graph->n_params; i++) {
        const struct fx_param *param = &graph->params[i];
        enum fx_dtype dtype = param->kind == FX_PARAM_COUNTER ? FX_I64 : FX_F32;

        assert_int_equal(
            fx_tensor_set_alloc(set, param->name, dtype, param->n_dims, param->shape, &data, &err),
            FX_OK);
        for (int64_t j = 0; dtype == FX_F32 && j < param->n_elements; j++)
            ((float *)data)[j] = next++;
    }
    assert_int_equal(fx_tensor_set_put_meta(set, "arch", "some \"arch\"", &err), FX_OK);
}

/* The file's bytes; malloc'ed. */
static struct fx_pb_view write_file(const struct fx_graph *graph, const struct fx_tensor_set *set)
{
    struct fx_onnx_model model = {
        .graph = graph, .set = set, .mean = { 0.5f, 0.25f, 0.125f }, .std = { 1, 2, 3 }
    };
    struct fx_err err = { 0 };
    int fd = memfd_create("onnx", MFD_CLOEXEC);

    assert_true(fd >= 0);
    if (fx_onnx_write(&model, fd, "memory", &err) != FX_OK)
        fail_msg("%s", err.msg);
    size_t n = (size_t)lseek(fd, 0, SEEK_END);
    uint8_t *bytes = malloc(n);
    assert_int_equal(pread(fd, bytes, n, 0), n);
    close(fd);
    return (struct fx_pb_view){ bytes, n };
}

/* ---- reading ----------------------------------------------------------------------------------
 */

/* The first field of that number in the message. */
static struct fx_pb_field field_of(struct fx_pb_view message, int number)
{
    struct fx_pb_field field;

    while (fx_pb_next(&message, &field))
        if (field.number == number)
            return field;
    fail_msg("no field %d", number);
    return field;
}

static int count(struct fx_pb_view message, int number)
{
    struct fx_pb_field field;
    int n = 0;

    while (fx_pb_next(&message, &field))
        n += field.number == number;
    return n;
}

static char *text_of(struct fx_pb_field field)
{
    return strndup((const char *)field.inside.bytes, field.inside.n);
}

/* Which names are known: those of inputs and initialisers from the start. */
struct names {
    struct fx_tensor_set set;
};

static void learn(struct names *names, struct fx_pb_field name)
{
    int64_t none[1] = { 0 };
    struct fx_err err = { 0 };
    char *text = text_of(name);

    if (fx_tensor_set_add(&names->set, text, FX_U8, 1, none, NULL, &err) != FX_OK)
        fail_msg("%s: two values of one name", text);
    free(text);
}

static void look_up(const struct names *names, struct fx_pb_field name)
{
    char *text = text_of(name);

    if (!fx_tensor_set_find(&names->set, text))
        fail_msg("%s: read before it is written", text);
    free(text);
}

/* ---- what must hold ---------------------------------------------------------------------------
 */

/* Dimensions and bytes agree; returns whether it is a parameter, with its bytes. */
static bool check_initializer(struct fx_pb_view tensor, const struct fx_tensor_set *set)
{
    struct fx_pb_view rest = tensor;
    struct fx_pb_field field, raw = field_of(tensor, TENSOR_RAW);
    uint64_t n = 1, type = field_of(tensor, TENSOR_TYPE).value;
    char *name = text_of(field_of(tensor, TENSOR_NAME));
    const struct fx_tensor *param = fx_tensor_set_find(set, name);

    while (fx_pb_next(&rest, &field))
        n *= field.number == TENSOR_DIMS ? field.value : 1;
    assert_int_equal(rest.n, 0);
    assert_true(type == FLOAT || type == INT64);
    assert_int_equal(raw.inside.n, n * (type == FLOAT ? 4 : 8));
    if (param) {
        assert_int_equal(raw.inside.n, param->n_bytes);
        assert_memory_equal(raw.inside.bytes, param->data, param->n_bytes);
    }
    free(name);
    return param;
}

static void check_node(struct names *names, struct fx_pb_view node)
{
    struct fx_pb_view rest = node;
    struct fx_pb_field field;

    assert_int_equal(count(node, NODE_OP), 1);
    while (fx_pb_next(&rest, &field))
        if (field.number == NODE_INPUT)
            look_up(names, field);
    assert_int_equal(rest.n, 0);
    for (rest = node; fx_pb_next(&rest, &field);)
        if (field.number == NODE_OUTPUT)
            learn(names, field);
}

static void check_graph(struct fx_pb_view graph, const struct fx_graph *net,
                        const struct fx_tensor_set *set)
{
    struct names names;
    struct fx_pb_view rest = graph;
    struct fx_pb_field field;
    int n_params = 0, n_counters = 0;

    fx_tensor_set_init(&names.set);
    while (fx_pb_next(&rest, &field)) {
        if (field.number == GRAPH_INITIALIZER) {
            n_params += check_initializer(field.inside, set);
            learn(&names, field_of(field.inside, TENSOR_NAME));
        } else if (field.number == GRAPH_INPUT) {
            learn(&names, field_of(field.inside, 1));
        }
    }
    assert_int_equal(rest.n, 0);
    for (rest = graph; fx_pb_next(&rest, &field);)
        if (field.number == GRAPH_NODE)
            check_node(&names, field.inside);
    for (rest = graph; fx_pb_next(&rest, &field);)
        if (field.number == GRAPH_OUTPUT)
            look_up(&names, field_of(field.inside, 1));
    for (int i = 0; i < net->n_params; i++)
        n_counters += net->params[i].kind == FX_PARAM_COUNTER;
    assert_int_equal(n_params, net->n_params - n_counters);
    assert_int_equal(count(graph, GRAPH_OUTPUT), net->fused >= 0 ? 2 : 1);
    assert_int_equal(count(graph, GRAPH_NAME), 1);
    fx_tensor_set_fini(&names.set);
}

static void check_file(const struct fx_graph *graph)
{
    struct fx_tensor_set set;

    fill(&set, graph);
    struct fx_pb_view file = write_file(graph, &set), rest = file;
    struct fx_pb_field field;

    while (fx_pb_next(&rest, &field))
        assert_true(field.number <= MODEL_METADATA);
    assert_int_equal(rest.n, 0);
    assert_int_equal(field_of(file, MODEL_IR).value, 8);
    assert_int_equal(field_of(field_of(file, MODEL_OPSET).inside, 2).value, 17);
    struct fx_pb_view entry = field_of(file, MODEL_METADATA).inside;
    char *value = text_of(field_of(entry, 2));
    assert_string_equal(value, "some \"arch\"");
    free(value);
    check_graph(field_of(file, MODEL_GRAPH).inside, graph, &set);
    free((void *)file.bytes);
    fx_tensor_set_fini(&set);
}

/* ---- tests ------------------------------------------------------------------------------------
 */

static void every_family_and_fusion_is_a_graph(void **state)
{
    (void)state;
    for (size_t a = 0; a < sizeof archs / sizeof *archs; a++)
        for (const struct fx_fusion *fusion = fx_fusions; fusion->name; fusion++) {
            struct fx_graph graph;

            build(&graph, archs[a], fusion->name, 1 + (int)a,
                  a % 2 ? FX_FUSED_RESIDUAL : FX_FUSED_HEAD);
            check_file(&graph);
            fx_graph_fini(&graph);
        }
}

static void experts_alone_and_different_ones_are_graphs(void **state)
{
    struct fx_graph graph;

    (void)state;
    build(&graph, "resnet18:width=4", NULL, 8, FX_FUSED_HEAD);
    check_file(&graph);
    fx_graph_fini(&graph);
    build(&graph, "resnet18:width=4;preact_resnet18:width=4", "gated", 2, FX_FUSED_RESIDUAL);
    check_file(&graph);
    fx_graph_fini(&graph);
}

static enum fx_status never(void *ctx, const struct fx_tensor *tensor, void *buf,
                            struct fx_err *err)
{
    (void)ctx, (void)buf;
    return fx_fail(err, FX_EFAIL, "%s: fetched all the same", tensor->name);
}

static void what_is_too_large_is_refused_before_anything_is_written(void **state)
{
    struct fx_err err = { 0 };
    struct fx_tensor_set set;
    struct fx_graph graph;
    int fd = memfd_create("onnx", MFD_CLOEXEC);

    (void)state;
    build(&graph, "improved_wideresnet28_10:width=16", "gated", 8, FX_FUSED_HEAD);
    fx_tensor_set_init(&set);
    for (int i = 0; i < graph.n_params; i++)
        assert_int_equal(fx_tensor_set_add(&set, graph.params[i].name, FX_F32,
                                           graph.params[i].n_dims, graph.params[i].shape, NULL,
                                           &err),
                         FX_OK);
    struct fx_onnx_model model = { .graph = &graph, .set = &set, .fetch = never };
    assert_int_equal(fx_onnx_write(&model, fd, "memory", &err), FX_EINPUT);
    assert_non_null(strstr(err.msg, "2147483647"));
    assert_int_equal(lseek(fd, 0, SEEK_END), 0);
    close(fd);
    fx_tensor_set_fini(&set);
    fx_graph_fini(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_and_fusion_is_a_graph),
        cmocka_unit_test(experts_alone_and_different_ones_are_graphs),
        cmocka_unit_test(what_is_too_large_is_refused_before_anything_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
