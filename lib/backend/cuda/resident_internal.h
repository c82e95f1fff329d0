/* The training images in the device's memory: there once for a run, in bytes; rows of a batch name
 * them, and kernels/augment.cu reads them. */
#ifndef FX_BACKEND_CUDA_RESIDENT_INTERNAL_H
#define FX_BACKEND_CUDA_RESIDENT_INTERNAL_H

#include "data/dataset.h"

#include <cuda_runtime_api.h>

struct fx_resident;

/* fx_resident_create: copies the train images over and waits for it; nothing of the data set is
 * needed afterwards.  FX_EFAIL says how much memory they need and how much is free. */
enum fx_status fx_resident_create(struct fx_resident **resident, const struct fx_dataset *dataset,
                                  cudaStream_t stream, struct fx_err *err) FX_MUST_CHECK;
void fx_resident_destroy(struct fx_resident *resident); /* accepts NULL; the device is idle */

/* u8 (n, 3, 32, 32), device memory. */
const uint8_t *fx_resident_images(const struct fx_resident *resident);
/* Of pixel / 255, 3 channels; host memory. */
const float *fx_resident_mean(const struct fx_resident *resident);
const float *fx_resident_std(const struct fx_resident *resident);

#endif
