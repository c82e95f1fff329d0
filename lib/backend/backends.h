/* The tables of the back ends a build may have; only the registry and their own files use them. */
#ifndef FX_BACKEND_BACKENDS_H
#define FX_BACKEND_BACKENDS_H

#include "backend/backend.h"

extern const struct fx_backend fx_backend_ref;
extern const struct fx_backend fx_backend_cpu;  /* FX_HAVE_DNNL */
extern const struct fx_backend fx_backend_cuda; /* FX_HAVE_CUDA */

#endif
