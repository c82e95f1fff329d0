/* cuDNN for one device: opened, described, closed. */
#include "backend/cuda/vendor/cudnn_library_internal.h"

#include "base/env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEVICE_TEXT_BYTES = 256, VERSION_OF_MINOR = 100 };
/* cuDNN 9.10 is the last that runs on Volta; from 7.5, Turing, on newer ones do, too. */
enum { LAST_WITH_VOLTA = 910, TURING = 75 };

static enum fx_status check_version(struct fx_err *err)
{
    FX_TRY(fx_cudnn_load(err));
    size_t found = cudnnGetVersion();
    if (found >= FX_CUDNN_OLDEST)
        return FX_OK;
    return fx_fail(
        err, FX_EDEVICE,
        "device cuda: the cuDNN that was found is %zu.%zu.%zu, this program needs 9.8 or "
        "newer; the Python package nvidia-cudnn-cu%d has one, LD_LIBRARY_PATH says where",
        found / 10000, found / 100 % 100, found % 100, CUDART_VERSION / 1000);
}

enum fx_status fx_cudnn_check(int capability, struct fx_err *err)
{
    size_t found;

    FX_TRY(check_version(err));
    found = cudnnGetVersion();
    if (capability >= TURING || found / VERSION_OF_MINOR <= LAST_WITH_VOLTA)
        return FX_OK;
    return fx_fail(err, FX_EDEVICE,
                   "device cuda: the cuDNN that was found is %zu.%zu.%zu; the last one for compute "
                   "capability %d.%d is 9.10",
                   found / 10000, found / 100 % 100, found % 100, capability / 10, capability % 10);
}

/* ---- the device -------------------------------------------------------------------------------
 */

/* Describes the device by one attribute. */
static enum fx_status describe(struct fx_cudnn *cudnn, cudnnBackendAttributeName_t attribute,
                               cudnnBackendAttributeType_t type, int64_t n_values,
                               const void *values, struct fx_err *err)
{
    struct fx_descriptors *set = &cudnn->description;

    cudnn->device = fx_descriptor_begin(set, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    fx_descriptor_put(set, cudnn->device, attribute, type, n_values, values);
    fx_descriptor_end(set, cudnn->device);
    if (set->status == CUDNN_STATUS_SUCCESS)
        return FX_OK;
    return fx_fail(err, cudnn->n_handles > 0 ? FX_EDEVICE : FX_EINPUT,
                   "cuDNN: the description of the device: %s", set->why);
}

/* Opens the cache for all that decides which engines there are: "NVIDIA H200, 132 SMs, driver
 * 13000, runtime 13000, cuDNN 91900". */
static void open_cache(struct fx_cudnn *cudnn, const char *card, int n_sms, int driver)
{
    char name[DEVICE_TEXT_BYTES];
    int runtime = 0;

    cudaRuntimeGetVersion(&runtime);
    snprintf(name, sizeof name, "%s, %d SMs, driver %d, runtime %d, cuDNN %zu%s%s", card, n_sms,
             driver, runtime, cudnnGetVersion(), cudnn->n_handles == 0 ? ", described" : "",
             cudnn->tunes ? ", tuned" : "");
    fx_plan_cache_open(&cudnn->cache, name);
}

/* The cache for the device that is there. */
static enum fx_status open_cache_of_device(struct fx_cudnn *cudnn, struct fx_err *err)
{
    const char *tune = fx_env("FUSION_CUDNN_TUNE");
    struct cudaDeviceProp p;
    int device, driver = 0;
    cudaError_t error = cudaGetDevice(&device);

    if (error == cudaSuccess)
        error = cudaGetDeviceProperties(&p, device);
    if (error == cudaSuccess)
        error = cudaDriverGetVersion(&driver);
    if (error != cudaSuccess)
        return fx_fail(err, FX_EDEVICE, "CUDA: %s", cudaGetErrorString(error));
    cudnn->tunes = tune && strcmp(tune, "1") == 0;
    open_cache(cudnn, p.name, p.multiProcessorCount, driver);
    return FX_OK;
}

/* The cache for a device that cuDNN's JSON describes. */
static enum fx_status open_cache_of_description(struct fx_cudnn *cudnn, const char *json,
                                                struct fx_err *err)
{
    json_t *root = json_loads(json, 0, NULL);
    const char *card = json_string_value(json_object_get(root, "deviceName"));
    json_int_t n_sms = json_integer_value(json_object_get(root, "multiProcessorCount"));
    json_int_t driver = json_integer_value(json_object_get(root, "driverVer"));
    bool complete = card && n_sms > 0 && driver > 0;

    if (complete)
        open_cache(cudnn, card, (int)n_sms, (int)driver);
    json_decref(root);
    return complete ? FX_OK
                    : fx_fail(err, FX_EINPUT,
                              "cuDNN: the properties of the device lack deviceName, "
                              "multiProcessorCount or driverVer");
}

static enum fx_status create(struct fx_cudnn **cudnn, size_t workspace_limit, struct fx_err *err)
{
    *cudnn = NULL;
    FX_TRY(check_version(err));
    *cudnn = calloc(1, sizeof **cudnn);
    if (!*cudnn)
        return fx_fail(err, FX_EFAIL, "cuDNN: out of memory");
    (*cudnn)->workspace_limit = workspace_limit;
    return FX_OK;
}

static enum fx_status open_handles(struct fx_cudnn *cudnn, const cudaStream_t *streams,
                                   int n_streams, struct fx_err *err)
{
    int device;
    cudaError_t error = cudaGetDevice(&device);

    if (error != cudaSuccess)
        return fx_fail(err, FX_EDEVICE, "CUDA: %s", cudaGetErrorString(error));
    cudnn->handles = calloc((size_t)n_streams, sizeof *cudnn->handles);
    if (!cudnn->handles)
        return fx_fail(err, FX_EFAIL, "cuDNN: out of memory");
    for (int i = 0; i < n_streams; i++) {
        cudnnStatus_t status = cudnnCreate(&cudnn->handles[i]);
        cudnn->n_handles += status == CUDNN_STATUS_SUCCESS;
        if (status == CUDNN_STATUS_SUCCESS)
            status = cudnnSetStream(cudnn->handles[i], streams[i]);
        if (status != CUDNN_STATUS_SUCCESS)
            return fx_fail(err, FX_EDEVICE, "cuDNN: %s", cudnnGetErrorString(status));
    }
    cudnn->stream = streams[0];
    return FX_OK;
}

/* The library with its device described, or nothing. */
static enum fx_status hand_out(struct fx_cudnn **cudnn, enum fx_status status)
{
    if (status != FX_OK) {
        fx_cudnn_close(*cudnn);
        *cudnn = NULL;
    }
    return status;
}

enum fx_status fx_cudnn_open(struct fx_cudnn **cudnn, const cudaStream_t *streams, int n_streams,
                             size_t workspace_limit, struct fx_err *err)
{
    FX_TRY(create(cudnn, workspace_limit, err));
    enum fx_status status = open_handles(*cudnn, streams, n_streams, err);
    if (status == FX_OK)
        status = describe(*cudnn, CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1,
                          &(*cudnn)->handles[0], err);
    if (status == FX_OK)
        status = open_cache_of_device(*cudnn, err);
    return hand_out(cudnn, status);
}

enum fx_status fx_cudnn_open_description(struct fx_cudnn **cudnn, const char *json,
                                         size_t workspace_limit, struct fx_err *err)
{
    FX_TRY(create(cudnn, workspace_limit, err));
    enum fx_status status = describe(*cudnn, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                     CUDNN_TYPE_CHAR, (int64_t)strlen(json), json, err);
    if (status == FX_OK)
        status = open_cache_of_description(*cudnn, json, err);
    return hand_out(cudnn, status);
}

struct fx_plan_cache *fx_cudnn_tuned(struct fx_cudnn *cudnn)
{
    return cudnn->tunes ? &cudnn->cache : NULL;
}

void fx_cudnn_save(struct fx_cudnn *cudnn)
{
    fx_plan_cache_save(&cudnn->cache);
}

void fx_cudnn_close(struct fx_cudnn *cudnn)
{
    if (!cudnn)
        return;
    fx_cudnn_save(cudnn);
    fx_plan_cache_close(&cudnn->cache);
    for (int i = 0; i < cudnn->n_plans; i++) {
        fx_descriptors_fini(&cudnn->plans[i]->set);
        free(cudnn->plans[i]);
    }
    free(cudnn->plans);
    fx_descriptors_fini(&cudnn->description);
    for (int i = 0; i < cudnn->n_handles; i++)
        cudnnDestroy(cudnn->handles[i]);
    free(cudnn->handles);
    free(cudnn);
}
