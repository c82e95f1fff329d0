/* Shared libraries that are loaded only when they are needed. */
#ifndef FX_BACKEND_CUDA_VENDOR_VENDOR_LOAD_INTERNAL_H
#define FX_BACKEND_CUDA_VENDOR_VENDOR_LOAD_INTERNAL_H

#include "base/status.h"

#include <stddef.h>

/* fx_vendor_load: finds n functions of a library by name.
 *   library    in/out  NULL before the first call, which loads it; it stays loaded
 *   functions  out     (n) their addresses
 * FX_EDEVICE: no such library, or it lacks a function. */
enum fx_status fx_vendor_load(void **library, const char *file, const char *const *names, size_t n,
                              void **functions, struct fx_err *err) FX_MUST_CHECK;

#endif
