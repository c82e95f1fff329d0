/* What the four missions take of a GPU's memory: four full-size experts with their fusion, compiled
 * for training and evaluation in batches of 128, planned but not allocated; against the cards that
 * they are meant for.
 *
 * The simulator compiles convolutions and products for stand-ins, whose workspace is not that of
 * cuDNN and cuBLASLt: there the most that the back end lets those have is counted instead. */
#include "backend/backend.h"
#include "net/model.h"
#include "required_device.h"

#include <string.h>

enum { BATCH = 128, EXPERTS = 4, CLASSES = 100 };
enum { TRAINING_IMAGES = 50000, IMAGE_BYTES = 3 * 32 * 32 }; /* CIFAR-100, resident as bytes */
/* Eight side streams with at most 256 MiB each (lib/backend/cuda/device.c). */
enum { LIBRARIES_MIB = 8 * 256 };

/* Data sheets: NVIDIA A100 40 GB, NVIDIA H200 141 GB; decimal. */
#define A100_BYTES 40e9
#define H200_BYTES 141e9

static const struct {
    const char *arch, *fusion;
} missions[] = {
    { "densenet121", "multiplicative" },
    { "resnet18", "multiplicativeAddition" },
    { "improved_wideresnet28_10", "TransformerBase" },
    { "preact_resnext29_8x64d", "concatenation" },
};
enum { N_MISSIONS = sizeof missions / sizeof *missions };

static bool is_simulated(void)
{
    return strstr(fx_backend_names(), "simulated") != NULL;
}

static void check(enum fx_status status, const struct fx_err *err)
{
    if (status != FX_OK)
        fail_msg("status %d: %s", (int)status, err->msg);
}

/* The device, or NULL with a message. */
static struct fx_device *open_device(const struct fx_backend **backend, enum fx_precision precision)
{
    struct fx_device_options options = { .n_threads = 1, .precision = precision };
    struct fx_device *device = NULL;
    struct fx_err err = { 0 };
    enum fx_status status = fx_backend_find(backend, "cuda", &options, &err);

    if (status == FX_OK)
        status = (*backend)->device_open(&device, &options, &err);
    if (status == FX_EDEVICE)
        skip_device("cuda", err.msg);
    else
        check(status, &err);
    return device;
}

/* The plan of a mission, of which nothing is allocated. */
static void plan(const struct fx_backend *backend, struct fx_device *device, int mission,
                 struct fx_memory *memory)
{
    struct fx_model_config config = { .arch = missions[mission].arch,
                                      .fusion = missions[mission].fusion,
                                      .n_experts = EXPERTS,
                                      .n_classes = CLASSES,
                                      .expert_dropout = -1,
                                      .fusion_dropout = -1 };
    struct fx_program *program;
    struct fx_model *model;
    struct fx_graph graph;
    struct fx_err err = { 0 };
    size_t before, after;

    check(backend->memory_left(device, &before, &err), &err);
    check(fx_model_build(&graph, &config, &err), &err);
    check(backend->model_create(&model, device, &graph, true, &err), &err);
    check(backend->program_create(&program, model, FX_TRAIN, BATCH, &err), &err);
    check(backend->program_create(&program, model, FX_EVAL, BATCH, &err), &err);
    backend->model_memory(model, memory);
    check(backend->memory_left(device, &after, &err), &err);
    if (is_simulated()) /* a GPU may have other users */
        assert_int_equal(before, after);
    backend->model_destroy(model);
    fx_graph_fini(&graph);
}

static double mib(size_t n_bytes)
{
    return (double)n_bytes / (1 << 20);
}

/* Prints a line of the table; bytes of all. */
static size_t report(int mission, const char *precision, const struct fx_memory *m,
                     size_t workspace)
{
    size_t images = (size_t)TRAINING_IMAGES * IMAGE_BYTES;
    size_t total =
        m->parameters + m->gradients + m->optimizer + m->activations + workspace + images;

    print_message("# %-24s %-22s %s %7.0f %7.0f %7.0f %7.0f %7.0f %7.0f %7.0f\n",
                  missions[mission].arch, missions[mission].fusion, precision, mib(m->parameters),
                  mib(m->gradients), mib(m->optimizer), mib(m->activations), mib(workspace),
                  mib(images), mib(total));
    return total;
}

static void print_head(void)
{
    print_message("# MiB%57s %7s %7s %7s %7s %7s %7s\n", "params", "grads", "optim.", "activ.",
                  is_simulated() ? "worksp*" : "worksp.", "images", "total");
}

static void check_mission(const struct fx_backend *backend, struct fx_device *device, int mission,
                          const char *precision)
{
    struct fx_memory memory;
    size_t total;

    plan(backend, device, mission, &memory);
    total = report(mission, precision, &memory,
                   memory.workspace + (is_simulated() ? (size_t)LIBRARIES_MIB << 20 : 0));
    assert_true((double)total < A100_BYTES);
    assert_true((double)total < H200_BYTES);
    /* No role is forgotten: gradients are f32 as the masters are, and each expert keeps at least
     * its first map of 64 channels, 2 bytes a value. */
    assert_true(memory.gradients > memory.parameters / 2);
    assert_true(memory.optimizer > memory.gradients);
    assert_true(memory.activations > (size_t)BATCH * EXPERTS * 32 * 32 * 64 * 2);
}

static void missions_fit(enum fx_precision precision, const char *name)
{
    const struct fx_backend *backend;
    struct fx_device *device = open_device(&backend, precision);

    if (device == NULL)
        return;
    print_head();
    for (int i = 0; i < N_MISSIONS; i++)
        check_mission(backend, device, i, name);
    if (is_simulated())
        print_message("# * simulated: the stand-ins' and the most that cuDNN may ask for\n");
    backend->device_close(device);
}

static void fp32_fits(void **state)
{
    (void)state;
    missions_fit(FX_PRECISION_FP32, "fp32");
}

static void bf16_fits(void **state)
{
    (void)state;
    missions_fit(FX_PRECISION_BF16, "bf16");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fp32_fits),
        cmocka_unit_test(bf16_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
