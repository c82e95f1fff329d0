/* .npy files: index lists in, arrays out (numpy/lib/format.py, NEP 1). */
#ifndef FX_TENSOR_NPY_H
#define FX_TENSOR_NPY_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* fx_npy_read_indices: reads a one-dimensional array of any integer dtype (either byte order) from
 * a file as int64; *values is malloc'ed and owned by the caller.  FX_EINPUT on anything else, also
 * on a truncated file; trailing bytes are refused. */
enum fx_status fx_npy_read_indices(const char *path, int64_t **values, size_t *n,
                                   struct fx_err *err) FX_MUST_CHECK;
/* fx_npy_write_indices: version 1.0, '<i8', atomic. */
enum fx_status fx_npy_write_indices(const char *path, const int64_t *values, size_t n,
                                    struct fx_err *err) FX_MUST_CHECK;

#endif
