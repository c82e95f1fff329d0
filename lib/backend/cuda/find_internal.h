/* Which GPUs the machine has, and whether this build can use them. */
#ifndef FX_BACKEND_CUDA_FIND_INTERNAL_H
#define FX_BACKEND_CUDA_FIND_INTERNAL_H

#include "backend/backend.h"

/* fx_cuda_find: device_find of backend.h.  Usable is a GPU that the driver shows, for which the
 * kernels were compiled, and that the libraries, which are loaded here, know as well. */
enum fx_status fx_cuda_find(struct fx_device_place *place, struct fx_err *err) FX_MUST_CHECK;

/* fx_cuda_capability: 90 for compute capability 9.0; 0 for a device that is not there. */
int fx_cuda_capability(int ordinal);

#endif
