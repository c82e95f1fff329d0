/* What the cuDNN door does with a device, checked without one: this program stands in for the few
 * functions that need it (handles, memory, events, the execution of a plan); everything else is
 * cuDNN's own, for the description of an H200. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <cudnn_graph.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/cuda/vendor/cudnn_plan.h"
#include "base/log.h"
#include "cards.h"
#include "linked.h"

enum { MAX_HANDLES = 4, MAX_BYTES = 8192, MIB = 1 << 20 };

/* cuDNN itself keeps memory until the end, and loses handles of cuBLASLt that it cannot open
 * without a device.  Descriptors are counted below instead. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

/* ---- the device that is not there ------------------------------------------------------------ */

static struct {
    bool missing, memory_full, fails;
    int n_sms;
    size_t version;                  /* of cuDNN */
    int n_handles, n_open, fails_at; /* the handle that cannot be created; -1: none */
    cudaStream_t streams[MAX_HANDLES];
    int n_runs, n_memory, n_events, n_graphs, n_descriptors;
    bool captures;
    float captured_ms, now_ms, marks[2], fastest_ms, last_ms; /* of one run: fastest seen, last */
    int64_t ids[3];
    void *pack, *addresses[3], *workspace;
    cudaStream_t last_stream;
} device;

cudaError_t cudaGetDevice(int *ordinal)
{
    *ordinal = 0;
    return device.missing ? cudaErrorNoDevice : cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int ordinal)
{
    assert_int_equal(ordinal, 0);
    *properties =
        (struct cudaDeviceProp){ .name = "NVIDIA H200", .multiProcessorCount = device.n_sms };
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **memory, size_t n)
{
    *memory = device.memory_full ? NULL : malloc(n > 0 ? 1 : 0);
    device.n_memory += *memory != NULL;
    return *memory != NULL ? cudaSuccess : cudaErrorMemoryAllocation;
}

/* What is timed on a stream must be filled on a stream, not on the default one, and with noise. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    assert_true(kind == cudaMemcpyDeviceToDevice || n < 8 || memcmp(from, (char *)from + 4, 4));
    return to != NULL && n > 0 && stream != NULL ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaFree(void *memory)
{
    device.n_memory -= memory != NULL;
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags)
{
    *event = (cudaEvent_t)(void *)&device.marks[device.n_events++];
    return flags == cudaEventDefault ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    device.n_events -= event != NULL;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    assert_ptr_equal(stream, device.streams[0]);
    *(float *)(void *)event = device.now_ms;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    return event != NULL ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t begin, cudaEvent_t end)
{
    *ms = *(float *)(void *)end - *(float *)(void *)begin;
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    assert_ptr_equal(stream, device.streams[0]);
    assert_int_equal(mode, cudaStreamCaptureModeThreadLocal);
    device.captures = true;
    device.captured_ms = 0;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    assert_ptr_equal(stream, device.streams[0]);
    device.captures = false;
    device.n_graphs++;
    *graph = (cudaGraph_t)(void *)&device.captured_ms;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    assert_int_equal(flags, 0);
    device.n_graphs++;
    *exec = (cudaGraphExec_t)(void *)graph;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    device.n_graphs -= graph != NULL;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    device.n_graphs -= exec != NULL;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    assert_ptr_equal(stream, device.streams[0]);
    device.now_ms += *(float *)(void *)exec;
    return cudaSuccess;
}

size_t cudnnGetVersion(void)
{
    return device.version;
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    if (device.n_handles == device.fails_at)
        return CUDNN_STATUS_NOT_INITIALIZED;
    *handle = (cudnnHandle_t)(void *)&device.streams[device.n_handles++];
    device.n_open++;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    device.n_open -= handle != NULL;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    *(cudaStream_t *)(void *)handle = stream;
    return CUDNN_STATUS_SUCCESS;
}

/* Keeps what goes into a pack of addresses: it cannot be read back. */
static void look_into_pack(cudnnBackendDescriptor_t pack, cudnnBackendAttributeName_t name,
                           int64_t n, const void *values)
{
    if (name == CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS) {
        assert_int_equal(n, 3);
        memcpy(device.ids, values, sizeof device.ids);
        device.pack = pack;
    } else if (name == CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS) {
        assert_int_equal(n, 3);
        memcpy(device.addresses, values, sizeof device.addresses);
    } else if (name == CUDNN_ATTR_VARIANT_PACK_WORKSPACE) {
        memcpy(&device.workspace, values, sizeof device.workspace);
    }
}

/* cuDNN's own function. */
static void *real(const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    assert_non_null(symbol);
    return symbol;
}

/* A device that is described by a handle is an H200. */
cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n,
                                       const void *values)
{
    __typeof__(cudnnBackendSetAttribute) *set = real("cudnnBackendSetAttribute");

    look_into_pack(descriptor, name, n, values);
    if (name != CUDNN_ATTR_DEVICEPROP_HANDLE)
        return set(descriptor, name, type, n, values);
    char *json = describe_card(find_card("h200"));
    cudnnStatus_t status = set(descriptor, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                               CUDNN_TYPE_CHAR, (int64_t)strlen(json), json);
    free(json);
    return status;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t *descriptor)
{
    __typeof__(cudnnBackendCreateDescriptor) *create = real("cudnnBackendCreateDescriptor");

    device.n_descriptors++;
    return create(type, descriptor);
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor)
{
    __typeof__(cudnnBackendDestroyDescriptor) *destroy = real("cudnnBackendDestroyDescriptor");

    device.n_descriptors--;
    return destroy(descriptor);
}

/* A time that only the engine decides: between 1 and 2 ms, by a hash of its part of the plan. */
static float engine_ms(cudnnBackendDescriptor_t plan)
{
    static char json[MAX_BYTES];
    uint32_t hash = 2166136261u;
    int64_t n = 0;

    assert_int_equal(cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                              CUDNN_TYPE_CHAR, MAX_BYTES - 1, &n, json),
                     CUDNN_STATUS_SUCCESS);
    json[n] = '\0';
    for (const char *c = strstr(json, "\"engine\""); *c != '\0'; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    return 1 + (float)(hash >> 8) / (1 << 24);
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack)
{
    if (device.fails)
        return CUDNN_STATUS_EXECUTION_FAILED;
    assert_ptr_equal(pack, device.pack);
    device.n_runs++;
    device.last_stream = *(cudaStream_t *)(void *)handle;
    device.last_ms = engine_ms(plan);
    *(device.captures ? &device.captured_ms : &device.now_ms) += device.last_ms;
    if (device.fastest_ms == 0 || device.last_ms < device.fastest_ms)
        device.fastest_ms = device.last_ms;
    return CUDNN_STATUS_SUCCESS;
}

/* ---- the tests ------------------------------------------------------------------------------- */

static int marks[MAX_HANDLES]; /* their addresses are streams */
static const struct fx_cudnn_shape shape = { .n = 128,
                                             .c_in = 64,
                                             .c_out = 64,
                                             .h_in = 32,
                                             .w_in = 32,
                                             .h_out = 32,
                                             .w_out = 32,
                                             .kernel = 3,
                                             .stride = 1,
                                             .pad = 1,
                                             .groups = 1,
                                             .bf16 = true };

/* Every test has a cache of its own. */
static int set_up(void **state)
{
    static char folder[] = "/tmp/cudnn_device.XXXXXX";

    memset(&device, 0, sizeof device);
    device.version = CUDNN_VERSION;
    device.fails_at = -1;
    device.n_sms = 132;
    unsetenv("FUSION_CUDNN_TUNE");
    memcpy(strrchr(folder, '.'), ".XXXXXX", sizeof ".XXXXXX");
    *state = mkdtemp(folder);
    return *state == NULL || setenv("FUSION_CACHE_DIR", folder, 1);
}

static int tear_down(void **state)
{
    char path[64];

    snprintf(path, sizeof path, "%s/cudnn-plans.json", (const char *)*state);
    unlink(path);
    assert_int_equal(device.n_open, 0);
    assert_int_equal(device.n_memory, 0);
    assert_int_equal(device.n_events, 0);
    assert_int_equal(device.n_graphs, 0);
    assert_int_equal(device.n_descriptors, 0);
    return rmdir(*state);
}

static enum fx_status open_device(struct fx_cudnn **cudnn, struct fx_err *err)
{
    cudaStream_t streams[MAX_HANDLES];

    for (int i = 0; i < MAX_HANDLES; i++)
        streams[i] = (cudaStream_t)(void *)&marks[i];
    device.n_handles = 0;
    return fx_cudnn_open(cudnn, streams, MAX_HANDLES, (size_t)64 * MIB, err);
}

/* The facts of the forward plan that a newly opened device makes; runs it once. */
static struct fx_cudnn_facts ask(void)
{
    const struct fx_cudnn_plan *plan;
    struct fx_cudnn_facts facts;
    struct fx_cudnn *cudnn;

    assert_int_equal(open_device(&cudnn, NULL), FX_OK);
    device.n_runs = 0;
    assert_int_equal(fx_cudnn_plan_get(&plan, cudnn, &shape, FX_CONV_FORWARD, NULL), FX_OK);
    int n_timed = device.n_runs;
    fx_cudnn_plan_facts(plan, &facts);
    assert_int_equal(fx_cudnn_run(plan, 0, marks, marks, marks, marks, NULL), FX_OK);
    device.n_runs = n_timed;
    fx_cudnn_close(cudnn);
    facts.knobs = facts.notes = NULL; /* gone with the plan */
    return facts;
}

static void test_a_lane_enqueues_on_its_stream_what_it_is_given(void **state)
{
    const struct fx_cudnn_plan *plan;
    struct fx_cudnn *cudnn;
    int x, w, y, workspace;

    (void)state;
    assert_int_equal(open_device(&cudnn, NULL), FX_OK);
    assert_int_equal(fx_cudnn_plan_get(&plan, cudnn, &shape, FX_CONV_DATA, NULL), FX_OK);
    for (int lane = 0; lane < MAX_HANDLES; lane++) {
        assert_int_equal(fx_cudnn_run(plan, lane, &x, &w, &y, &workspace, NULL), FX_OK);
        assert_ptr_equal(device.last_stream, &marks[lane]);
    }
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(device.addresses[i], device.ids[i] == 'x'   ? &x
                                              : device.ids[i] == 'w' ? &w
                                                                     : &y);
    assert_ptr_equal(device.workspace, &workspace);
    fx_cudnn_close(cudnn);
}

static void test_equal_convolutions_share_a_plan(void **state)
{
    const struct fx_cudnn_plan *plans[3];
    struct fx_cudnn_shape other = shape;
    struct fx_cudnn *cudnn;

    (void)state;
    assert_int_equal(open_device(&cudnn, NULL), FX_OK);
    assert_int_equal(fx_cudnn_plan_get(&plans[0], cudnn, &shape, FX_CONV_FORWARD, NULL), FX_OK);
    assert_int_equal(fx_cudnn_plan_get(&plans[1], cudnn, &shape, FX_CONV_FORWARD, NULL), FX_OK);
    assert_ptr_equal(plans[0], plans[1]);
    assert_int_equal(fx_cudnn_plan_get(&plans[2], cudnn, &shape, FX_CONV_DATA, NULL), FX_OK);
    assert_ptr_not_equal(plans[0], plans[2]);
    other.bf16 = false;
    assert_int_equal(fx_cudnn_plan_get(&plans[2], cudnn, &other, FX_CONV_FORWARD, NULL), FX_OK);
    assert_ptr_not_equal(plans[0], plans[2]);
    fx_cudnn_close(cudnn);
}

static void test_tuning_takes_the_fastest_and_remembers_it(void **state)
{
    (void)state;
    struct fx_cudnn_facts heuristic = ask();
    assert_int_equal(heuristic.origin, FX_CUDNN_HEURISTIC);
    assert_int_equal(device.n_runs, 0);
    float untuned_ms = device.last_ms;

    setenv("FUSION_CUDNN_TUNE", "1", 1);
    device.fastest_ms = 0;
    assert_int_equal(ask().origin, FX_CUDNN_TUNED);
    assert_true(device.n_runs > 8); /* several engines, each several times */
    assert_true(0.98f * device.last_ms < device.fastest_ms);
    assert_true(device.last_ms < untuned_ms);
    float tuned_ms = device.last_ms;

    assert_int_equal(ask().origin, FX_CUDNN_CACHED);
    assert_int_equal(device.n_runs, 0);
    assert_float_equal(device.last_ms, tuned_ms, 0);

    /* Who does not ask for tuned plans gets none. */
    unsetenv("FUSION_CUDNN_TUNE");
    assert_int_equal(ask().origin, FX_CUDNN_CACHED);
    assert_float_equal(device.last_ms, untuned_ms, 0);
}

static void test_a_part_of_the_device_has_plans_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(ask().origin, FX_CUDNN_HEURISTIC);
    assert_int_equal(ask().origin, FX_CUDNN_CACHED);
    device.n_sms = 16;
    assert_int_equal(ask().origin, FX_CUDNN_HEURISTIC);
}

static void test_without_memory_to_time_in_the_heuristic_decides(void **state)
{
    (void)state;
    setenv("FUSION_CUDNN_TUNE", "1", 1);
    device.memory_full = true;
    assert_int_equal(ask().origin, FX_CUDNN_HEURISTIC);
}

static void test_failures_name_the_layer(void **state)
{
    const struct fx_cudnn_plan *plan;
    struct fx_cudnn_shape wrong = shape;
    struct fx_cudnn *cudnn;
    struct fx_err err = { 0 };

    (void)state;
    assert_int_equal(open_device(&cudnn, NULL), FX_OK);
    wrong.h_out = 31;
    assert_int_equal(fx_cudnn_plan_get(&plan, cudnn, &wrong, FX_CONV_WEIGHTS, &err), FX_EDEVICE);
    assert_null(plan);
    assert_ptr_equal(strstr(err.msg, "cuDNN: weights bf16 n=128 64x32x32 -> 64x31x32 kernel=3 "
                                     "stride=1 pad=1 groups=1: CUDNN_STATUS_BAD_PARAM"),
                     err.msg);
    assert_int_equal(fx_cudnn_plan_get(&plan, cudnn, &shape, FX_CONV_FORWARD, &err), FX_OK);
    device.fails = true;
    assert_int_equal(fx_cudnn_run(plan, 0, marks, marks, marks, NULL, &err), FX_EFAIL);
    assert_string_equal(err.msg, "cuDNN: forward bf16 n=128 64x32x32 -> 64x32x32 kernel=3 stride=1 "
                                 "pad=1 groups=1: CUDNN_STATUS_EXECUTION_FAILED");
    fx_cudnn_close(cudnn);
}

static void test_what_cannot_be_opened_is_refused(void **state)
{
    struct fx_cudnn *cudnn;
    struct fx_err err = { 0 };

    (void)state;
    device.fails_at = 2;
    assert_int_equal(open_device(&cudnn, &err), FX_EDEVICE);
    assert_null(cudnn);
    assert_string_equal(err.msg, "cuDNN: CUDNN_STATUS_NOT_INITIALIZED");
    device.missing = true;
    assert_int_equal(open_device(&cudnn, &err), FX_EDEVICE);
    assert_string_equal(err.msg, "CUDA: no CUDA-capable device is detected");
    device.version = 90701;
    assert_int_equal(open_device(&cudnn, &err), FX_EDEVICE);
    assert_non_null(strstr(err.msg, "cuDNN that was found is 9.7.1, this program needs 9.8 or"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_lane_enqueues_on_its_stream_what_it_is_given),
        TEST(test_equal_convolutions_share_a_plan),
        TEST(test_tuning_takes_the_fastest_and_remembers_it),
        TEST(test_a_part_of_the_device_has_plans_of_its_own),
        TEST(test_without_memory_to_time_in_the_heuristic_decides),
        TEST(test_failures_name_the_layer),
        TEST(test_what_cannot_be_opened_is_refused),
    };

    fx_log_set("cudnn_device", FX_LOG_QUIET);
    return cmocka_run_group_tests_name("cudnn_device", tests, NULL, NULL);
}
