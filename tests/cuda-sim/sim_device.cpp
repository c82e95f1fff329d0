/* Devices, versions and errors. */
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sim_runtime.h"
#include "sim.h"

namespace cuda_sim
{

std::mutex runtime_lock;

static thread_local cudaError_t last_error = cudaSuccess;
static thread_local int device;

/* A number of the environment, with K, M or G behind it for binary thousands. */
static size_t from_environment(const char *name, size_t otherwise)
{
    const char *text = getenv(name);
    char *end;

    if (!text || *text == '\0')
        return otherwise;
    size_t value = strtoull(text, &end, 10);
    const char *units = "KMG", *unit = *end ? strchr(units, *end) : nullptr;
    return unit ? value << 10 * (unit - units + 1) : value;
}

int n_devices()
{
    return (int)from_environment("CUDA_SIM_DEVICES", 1);
}

size_t device_bytes()
{
    return from_environment("CUDA_SIM_MEMORY", (size_t)8 << 30);
}

size_t taken_bytes()
{
    return from_environment("CUDA_SIM_MEMORY_TAKEN", 0);
}

size_t captured_nodes_allowed()
{
    return from_environment("CUDA_SIM_CAPTURE_NODES", SIZE_MAX);
}

/* Ten times the compute capability of a device: 90, or what CUDA_SIM_CAPABILITY says for it, "7.0"
 * for all or "9.0,7.0" for one after the other. */
static int capability(int number)
{
    const char *text = getenv("CUDA_SIM_CAPABILITY");

    if (!text || *text == '\0')
        return 90;
    for (const char *next; number > 0 && (next = strchr(text, ',')); number--)
        text = next + 1;
    return (int)lround(10 * strtod(text, nullptr));
}

/* The CUDA that the driver is for, 12040 for 12.4; 0: there is none. */
static int driver()
{
    return (int)from_environment("CUDA_SIM_DRIVER", CUDART_VERSION);
}

bool have_device()
{
    return n_devices() > 0;
}

int current_device()
{
    return device;
}

cudaError_t remember(cudaError_t error)
{
    if (error != cudaSuccess)
        last_error = error;
    return error;
}

static void describe_device(cudaDeviceProp *prop, int number)
{
    *prop = {};
    snprintf(prop->name, sizeof prop->name, "CUDA simulator");
    prop->totalGlobalMem = device_bytes();
    prop->sharedMemPerBlock = 48 << 10;
    prop->regsPerBlock = 65536;
    prop->warpSize = 32;
    prop->maxThreadsPerBlock = MAX_BLOCK_THREADS;
    prop->maxThreadsDim[0] = prop->maxThreadsDim[1] = MAX_BLOCK_THREADS;
    prop->maxThreadsDim[2] = MAX_BLOCK_DEPTH;
    prop->maxGridSize[0] = 0x7fffffff;
    prop->maxGridSize[1] = prop->maxGridSize[2] = MAX_GRID_HEIGHT;
    prop->major = capability(number) / 10;
    prop->minor = capability(number) % 10;
    prop->multiProcessorCount = (int)from_environment("CUDA_SIM_PROCESSORS", 132);
    prop->l2CacheSize = 50 << 20;
    prop->maxThreadsPerMultiProcessor = 2048;
}

static int attribute(const cudaDeviceProp &prop, cudaDeviceAttr attr)
{
    switch (attr) {
    case cudaDevAttrMaxThreadsPerBlock:
        return prop.maxThreadsPerBlock;
    case cudaDevAttrMaxSharedMemoryPerBlock:
        return (int)prop.sharedMemPerBlock;
    case cudaDevAttrWarpSize:
        return prop.warpSize;
    case cudaDevAttrMultiProcessorCount:
        return prop.multiProcessorCount;
    case cudaDevAttrL2CacheSize:
        return prop.l2CacheSize;
    case cudaDevAttrComputeCapabilityMajor:
        return prop.major;
    case cudaDevAttrComputeCapabilityMinor:
        return prop.minor;
    }
    return -1;
}

static const struct {
    cudaError_t error;
    const char *name, *text;
} errors[] = {
#define ERROR(name, text)                                                                          \
    {                                                                                              \
        name, #name, text                                                                          \
    }
    ERROR(cudaSuccess, "no error"),
    ERROR(cudaErrorInvalidValue, "invalid argument"),
    ERROR(cudaErrorMemoryAllocation, "out of memory"),
    ERROR(cudaErrorInitializationError, "initialization error"),
    ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    ERROR(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    ERROR(cudaErrorInsufficientDriver,
          "CUDA driver version is insufficient for CUDA runtime version"),
    ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    ERROR(cudaErrorNoKernelImageForDevice,
          "no kernel image is available for execution on the device"),
    ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    ERROR(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
    ERROR(cudaErrorNotReady, "device not ready"),
    ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    ERROR(cudaErrorNotPermitted, "operation not permitted"),
    ERROR(cudaErrorNotSupported, "operation not supported"),
    ERROR(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    ERROR(cudaErrorStreamCaptureInvalidated,
          "operation failed due to a previous error during capture"),
    ERROR(cudaErrorStreamCaptureMerge,
          "operation would result in a merge of separate capture sequences"),
    ERROR(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began"),
    ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    ERROR(cudaErrorStreamCaptureIsolation,
          "dependency created on uncaptured work in another stream"),
    ERROR(cudaErrorStreamCaptureImplicit,
          "operation would make the legacy stream depend on a capturing blocking stream"),
    ERROR(cudaErrorCapturedEvent,
          "operation not permitted on an event last recorded in a capturing stream"),
    ERROR(cudaErrorStreamCaptureWrongThread,
          "attempt to terminate a thread-local capture sequence from another thread"),
    ERROR(cudaErrorUnknown, "unknown error"),
#undef ERROR
};

} // namespace cuda_sim

using namespace cuda_sim;

const char *cudaGetErrorName(cudaError_t error)
{
    for (const auto &entry : errors)
        if (entry.error == error)
            return entry.name;
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error)
{
    for (const auto &entry : errors)
        if (entry.error == error)
            return entry.text;
    return "unrecognized error code";
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;

    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = n_devices();
    if (driver() < CUDART_VERSION / 1000 * 1000)
        return remember(cudaErrorInsufficientDriver);
    return remember(have_device() ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int number)
{
    return api([&] {
        if (number < 0 || number >= n_devices())
            return cudaErrorInvalidDevice;
        device = number;
        return cudaSuccess;
    });
}

cudaError_t cudaGetDevice(int *number)
{
    return api([&] {
        *number = device;
        return cudaSuccess;
    });
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int number)
{
    return api([&] {
        if (number < 0 || number >= n_devices())
            return cudaErrorInvalidDevice;
        describe_device(prop, number);
        return cudaSuccess;
    });
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int number)
{
    cudaDeviceProp prop;
    cudaError_t error = cudaGetDeviceProperties(&prop, number);

    if (error != cudaSuccess)
        return error;
    *value = attribute(prop, attr);
    return remember(*value >= 0 ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = driver();
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}
