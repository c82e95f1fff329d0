/* How a block of threads works on one image: what the pixel operations (pixel_*.cuh) share.
 *
 * Each is a function of the whole block from one image in shared memory to another, u8 (3, 32, 32);
 * a barrier lies before it, none at its end.  The formulas are those of lib/data/pixel_*.h. */
#ifndef FX_KERNELS_PIXEL_BLOCK_CUH
#define FX_KERNELS_PIXEL_BLOCK_CUH

#include "data/dataset.h"

#include <cuda_runtime.h>

enum { FX_N_BYTES = 256, FX_PIXEL_THREADS = FX_N_BYTES }; /* a thread for each value of a byte */

#endif
