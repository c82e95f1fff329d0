/* Shared libraries that are loaded only when they are needed. */
#ifndef FX_BACKEND_CUDA_VENDOR_VENDOR_LOAD_INTERNAL_H
#define FX_BACKEND_CUDA_VENDOR_VENDOR_LOAD_INTERNAL_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* fx_vendor_load: finds n functions of a library by name.
 *   library    in/out  NULL before the first call, which loads it; it stays loaded
 *   functions  out     (n) their addresses
 * FX_EDEVICE: no such library, or it lacks a function. */
enum fx_status fx_vendor_load(void **library, const char *file, const char *const *names, size_t n,
                              void **functions, struct fx_err *err) FX_MUST_CHECK;

/* fx_vendor_check_version: whether a library of version `found` will do for what was compiled with
 * `compiled`: newer ones of the same major version do (another major version has another file
 * name), one minor version older does with a warning, in which *has_warned keeps it from being
 * repeated.  FX_EDEVICE: older than that. */
enum fx_status fx_vendor_check_version(const char *name, size_t found, size_t compiled,
                                       bool *has_warned, struct fx_err *err) FX_MUST_CHECK;

#endif
