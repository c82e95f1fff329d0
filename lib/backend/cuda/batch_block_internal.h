/* The block of memory in which a batch travels to the device: a struct fx_k_batch, and behind it
 * the arrays of struct fx_k_batch_view with room for n_max images.
 *
 * The host fills one in page-locked memory, a copy of all its bytes takes it to the device, and
 * kernels find their way through the view: one address for every step, as recorded graphs want. */
#ifndef FX_BACKEND_CUDA_BATCH_BLOCK_INTERNAL_H
#define FX_BACKEND_CUDA_BATCH_BLOCK_INTERNAL_H

#include "backend/backend.h"
#include "kernels/kernels.h"

size_t fx_batch_block_bytes(int n_max);

/* fx_batch_block_fill: the batch, at most n_max images, into a block of the host's memory (aligned
 * as malloc aligns).  A batch without rows gets those that leave an image as it is; numbers,
 * partners and labels that it lacks are zeros.  is_first and what comes with struct fx_loss_config
 * are zero: the header, struct fx_k_batch, is written by whoever knows them. */
void fx_batch_block_fill(void *block, int n_max, const struct fx_batch *batch);

/* fx_batch_block_view: where the parts of the block at this address lie, which is not followed. */
struct fx_k_batch_view fx_batch_block_view(const void *block, int n_max);

#endif
