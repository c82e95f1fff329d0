/* Finding a GPU, saying plainly why there is none to use, and opening one. */
#include "backend/cuda/cuda_internal.h"

#include "base/env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- finding ----------------------------------------------------------------------------------
 */

/* FX_CUDA_OLDEST, from the Makefile: the oldest compute capability the kernels are compiled for. */
enum { GIB_SHIFT = 30 };

/* Of every toolkit of the major version that the runtime is of. */
#define NEEDED_DRIVER                                                                              \
    (CUDART_VERSION / 1000 == 13   ? ": 580 or newer (525 for a build with CUDA 12)"               \
     : CUDART_VERSION / 1000 == 12 ? ": 525 or newer"                                              \
                                   : "")

/* For messages about devices that are not shown. */
static const char *hidden(void)
{
    return fx_env("CUDA_VISIBLE_DEVICES") ? " (CUDA_VISIBLE_DEVICES is set)" : "";
}

/* No driver, no device: every later call would fail in the same way. */
static enum fx_status count_devices(int *n, bool *is_there, struct fx_err *err)
{
    cudaError_t error = cudaGetDeviceCount(n);
    int driver = 0;

    *is_there = error != cudaErrorNoDevice && (error != cudaSuccess || *n > 0);
    if (error == cudaSuccess && *n > 0)
        return FX_OK;
    if (!*is_there)
        return fx_fail(err, FX_EDEVICE, "device cuda: this machine shows no CUDA device%s",
                       hidden());
    if (error != cudaErrorInsufficientDriver)
        return fx_fail(err, FX_EDEVICE, "device cuda: %s", cudaGetErrorString(error));
    *is_there = cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0;
    if (!*is_there)
        return fx_fail(err, FX_EDEVICE, "device cuda: this machine has no NVIDIA driver");
    return fx_fail(err, FX_EDEVICE,
                   "device cuda: the NVIDIA driver is for CUDA %d.%d, this build needs one for "
                   "CUDA %d%s",
                   driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, NEEDED_DRIVER);
}

int fx_cuda_capability(int ordinal)
{
    int major, minor;

    if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, ordinal) != cudaSuccess ||
        cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, ordinal) != cudaSuccess)
        return 0;
    return 10 * major + minor;
}

/* Device `number` of those that the kernels run on, counted round; the first if there are none. */
static int count_round(int number, int n_devices)
{
    int n_usable = 0;

    for (int i = 0; i < n_devices; i++)
        n_usable += fx_cuda_capability(i) >= FX_CUDA_OLDEST;
    if (n_usable == 0)
        return 0;
    number %= n_usable;
    for (int i = 0;; i++)
        if (fx_cuda_capability(i) >= FX_CUDA_OLDEST && number-- == 0)
            return i;
}

/* Describes the device; whether the kernels run on it. */
static enum fx_status check_device(struct fx_device_place *place, struct fx_err *err)
{
    struct cudaDeviceProp p;
    cudaError_t error = cudaGetDeviceProperties(&p, place->ordinal);

    if (error != cudaSuccess)
        return fx_fail(err, FX_EDEVICE, "device cuda:%d: %s", place->ordinal,
                       cudaGetErrorString(error));
    snprintf(place->text, sizeof place->text, "%s, %.0f GiB", p.name,
             (double)p.totalGlobalMem / (1 << GIB_SHIFT));
    if (10 * p.major + p.minor >= FX_CUDA_OLDEST)
        return FX_OK;
    return fx_fail(err, FX_EDEVICE,
                   "device cuda:%d: %s has compute capability %d.%d, this build needs %d.%d%s",
                   place->ordinal, p.name, p.major, p.minor, FX_CUDA_OLDEST / 10,
                   FX_CUDA_OLDEST % 10, p.major == 7 ? " (one with CUDA 12 needs 7.0)" : "");
}

enum fx_status fx_cuda_find(struct fx_device_place *place, struct fx_err *err)
{
    int n;

    FX_TRY(count_devices(&n, &place->is_there, err));
    if (place->wraps)
        place->ordinal = count_round(place->ordinal, n);
    if (place->ordinal >= n)
        return fx_fail(err, FX_EDEVICE, "device cuda:%d: there %s %d%s", place->ordinal,
                       n == 1 ? "is only" : "are only", n, hidden());
    FX_TRY(check_device(place, err));
    FX_TRY(fx_cudnn_check(fx_cuda_capability(place->ordinal), err));
    return fx_gemm_check(err);
}

/* ---- opening ----------------------------------------------------------------------------------
 */

/* What a plan of cuDNN may ask for. */
enum { WORKSPACE_LIMIT_MIB = 256 };
/* The first compute capability with arithmetic in bf16. */
enum { BF16_SINCE = 80 };
static enum fx_status choose_device(const struct fx_device_options *options, struct fx_err *err)
{
    struct fx_device_place place = { .ordinal = options->ordinal };

    FX_TRY(fx_cuda_find(&place, err));
    if (options->precision == FX_PRECISION_BF16 && fx_cuda_capability(place.ordinal) < BF16_SINCE)
        return fx_fail(err, FX_EDEVICE,
                       "device cuda:%d: no bf16 on %s: that takes compute capability 8.0; use "
                       "--precision fp32",
                       place.ordinal, place.text);
    FX_CUDA(cudaSetDevice(place.ordinal));
    return FX_OK;
}

static enum fx_status count_processors(struct fx_device *device, struct fx_err *err)
{
    int ordinal;

    FX_CUDA(cudaGetDevice(&ordinal));
    FX_CUDA(cudaDeviceGetAttribute(&device->n_processors, cudaDevAttrMultiProcessorCount, ordinal));
    return FX_OK;
}

static enum fx_status open_stream(cudaStream_t *stream, int priority, struct fx_err *err)
{
    FX_CUDA(cudaStreamCreateWithPriority(stream, cudaStreamNonBlocking, priority));
    return FX_OK;
}

static enum fx_status open_event(cudaEvent_t *event, struct fx_err *err)
{
    FX_CUDA(cudaEventCreateWithFlags(event, cudaEventDisableTiming));
    return FX_OK;
}

static enum fx_status open_streams(struct fx_device *device, struct fx_err *err)
{
    int low, high; /* blocks of the main stream go first where both queues have some */

    FX_CUDA(cudaDeviceGetStreamPriorityRange(&low, &high));
    FX_TRY(open_stream(&device->main, high, err));
    FX_TRY(open_stream(&device->wgrad, low, err));
    FX_TRY(open_event(&device->wgrad_fork, err));
    for (int i = 0; i < FX_CUDA_WGRAD_EVENTS; i++)
        FX_TRY(open_event(&device->wgrad_done[i], err));
    for (int i = 0; i < FX_CUDA_QUEUES; i++)
        FX_TRY(open_event(&device->fork[i], err));
    for (int i = 0; i < FX_CUDA_ALL_SIDES; i++) {
        FX_TRY(open_stream(&device->sides[i], i < FX_CUDA_SIDE_STREAMS ? high : low, err));
        FX_TRY(open_event(&device->join[i], err));
    }
    return FX_OK;
}

static void close_stream(cudaStream_t stream)
{
    if (stream)
        cudaStreamDestroy(stream);
}

static void close_event(cudaEvent_t event)
{
    if (event)
        cudaEventDestroy(event);
}

static void close_streams(struct fx_device *device)
{
    for (int i = 0; i < FX_CUDA_ALL_SIDES; i++) {
        close_event(device->join[i]);
        close_stream(device->sides[i]);
    }
    for (int i = 0; i < FX_CUDA_QUEUES; i++)
        close_event(device->fork[i]);
    for (int i = 0; i < FX_CUDA_WGRAD_EVENTS; i++)
        close_event(device->wgrad_done[i]);
    close_event(device->wgrad_fork);
    close_stream(device->wgrad);
    close_stream(device->main);
}

/* Variables that switch something off.  FUSION_CUDA_GRAPHS=0 launches every kernel by itself, for
 * debuggers and profilers; FUSION_CUDA_WGRAD_STREAM=0 launches everything on the main stream, and
 * FUSION_CUDA_PARTS=0 cuts no sums over pixels into parts, for measuring. */
static bool is_wanted(const char *variable)
{
    const char *text = fx_env(variable);

    return !text || strcmp(text, "0") != 0;
}

enum fx_status fx_cuda_device_open(struct fx_device **out, const struct fx_device_options *options,
                                   struct fx_err *err)
{
    struct fx_device *device;
    enum fx_status status;

    *out = NULL;
    FX_TRY(choose_device(options, err));
    device = calloc(1, sizeof *device);
    if (!device)
        return fx_fail(err, FX_EFAIL, "device cuda: out of memory");
    device->options = *options;
    device->bf16 = options->precision == FX_PRECISION_BF16;
    device->uses_graphs = is_wanted("FUSION_CUDA_GRAPHS");
    device->cuts_sums = is_wanted("FUSION_CUDA_PARTS");
    device->has_wgrad_stream = is_wanted("FUSION_CUDA_WGRAD_STREAM");
    FX_TRY_OUT(count_processors(device, err));
    FX_TRY_OUT(open_streams(device, err));
    FX_TRY_OUT(fx_cudnn_open(&device->cudnn, device->sides, FX_CUDA_ALL_SIDES,
                             (size_t)WORKSPACE_LIMIT_MIB << 20, err));
    FX_TRY_OUT(fx_gemm_open(&device->gemm, err));
    *out = device;
    return FX_OK;
out:
    fx_cuda_device_close(device);
    return status;
}

void fx_cuda_device_close(struct fx_device *device)
{
    if (!device)
        return;
    fx_resident_destroy(device->resident);
    fx_gemm_close(device->gemm);
    fx_cudnn_close(device->cudnn);
    close_streams(device);
    free(device);
}

enum fx_status fx_cuda_memory_left(struct fx_device *device, size_t *n_bytes, struct fx_err *err)
{
    size_t total;

    (void)device;
    FX_CUDA(cudaMemGetInfo(n_bytes, &total));
    return FX_OK;
}
