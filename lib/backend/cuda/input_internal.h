/* What the device reads of a batch: its block of memory, and the training images. */
#ifndef FX_BACKEND_CUDA_INPUT_INTERNAL_H
#define FX_BACKEND_CUDA_INPUT_INTERNAL_H

#include "backend/backend.h"
#include "data/dataset.h"
#include "kernels/kernels.h"

#include <cuda_runtime_api.h>

/* Batch block: the memory in which a batch travels to the device: a struct fx_k_batch, and behind
 * it the arrays of struct fx_k_batch_view with room for n_max images.
 *
 * The host fills one in page-locked memory, a copy of all its bytes takes it to the device, and
 * kernels find their way through the view: one address for every step, as recorded graphs want. */
size_t fx_batch_block_bytes(int n_max);

/* fx_batch_block_fill: the batch, at most n_max images, into a block of the host's memory (aligned
 * as malloc aligns).  A batch without rows gets those that leave an image as it is; numbers,
 * partners and labels that it lacks are zeros.  is_first and what comes with struct fx_loss_config
 * are zero: the header, struct fx_k_batch, is written by whoever knows them. */
void fx_batch_block_fill(void *block, int n_max, const struct fx_batch *batch);

/* fx_batch_block_view: where the parts of the block at this address lie, which is not followed. */
struct fx_k_batch_view fx_batch_block_view(const void *block, int n_max);

/* The training images in the device's memory: there once for a run, in bytes; rows of a batch name
 * them, and kernels/augment.cu reads them. */

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
