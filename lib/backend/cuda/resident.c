/* Bringing the training images to the device. */
#include "backend/cuda/resident_internal.h"

#include "backend/cuda/error_internal.h"

#include <stdlib.h>
#include <string.h>

struct fx_resident {
    uint8_t *images; /* owned; device memory */
    float mean[3], std[3];
};

static enum fx_status check_memory(int64_t n, size_t n_bytes, struct fx_err *err)
{
    size_t left, total;

    FX_CUDA(cudaMemGetInfo(&left, &total));
    if (n_bytes > left)
        return fx_fail(err, FX_EFAIL,
                       "device cuda: %lld training images need %.0f MiB of the device's memory, "
                       "of which %.0f MiB are free",
                       (long long)n, (double)n_bytes / 0x1p20, (double)left / 0x1p20);
    return FX_OK;
}

static enum fx_status upload(struct fx_resident *resident, const struct fx_image_set *set,
                             cudaStream_t stream, struct fx_err *err)
{
    size_t n_bytes = (size_t)set->n * FX_IMAGE_BYTES;

    FX_TRY(check_memory(set->n, n_bytes, err));
    FX_CUDA(cudaMalloc((void **)&resident->images, n_bytes));
    FX_CUDA(
        cudaMemcpyAsync(resident->images, set->images, n_bytes, cudaMemcpyHostToDevice, stream));
    FX_CUDA(cudaStreamSynchronize(stream));
    return FX_OK;
}

enum fx_status fx_resident_create(struct fx_resident **out, const struct fx_dataset *dataset,
                                  cudaStream_t stream, struct fx_err *err)
{
    struct fx_resident *resident = calloc(1, sizeof *resident);
    enum fx_status status;

    *out = NULL;
    if (!resident)
        return fx_fail(err, FX_EFAIL, "out of memory for the resident images");
    memcpy(resident->mean, dataset->mean, sizeof resident->mean);
    memcpy(resident->std, dataset->std, sizeof resident->std);
    FX_TRY_OUT(upload(resident, &dataset->train, stream, err));
    *out = resident;
    return FX_OK;
out:
    fx_resident_destroy(resident);
    return status;
}

void fx_resident_destroy(struct fx_resident *resident)
{
    if (!resident)
        return;
    cudaFree(resident->images);
    free(resident);
}

const uint8_t *fx_resident_images(const struct fx_resident *resident)
{
    return resident->images;
}

const float *fx_resident_mean(const struct fx_resident *resident)
{
    return resident->mean;
}

const float *fx_resident_std(const struct fx_resident *resident)
{
    return resident->std;
}
