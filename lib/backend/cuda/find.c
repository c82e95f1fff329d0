/* Finding a GPU, and saying plainly why there is none to use. */
#include "backend/cuda/find_internal.h"

#include "backend/cuda/vendor/cudnn_plan.h"
#include "backend/cuda/vendor/gemm.h"
#include "base/env.h"

#include <cuda_runtime_api.h>
#include <stdio.h>

/* FX_CUDA_OLDEST, from the Makefile: the oldest compute capability the kernels are compiled for. */
enum { GIB_SHIFT = 30 };

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
                   "CUDA %d",
                   driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000);
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
