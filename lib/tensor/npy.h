/* .npy files: index lists and bytes in, index lists out (numpy/lib/format.py, NEP 1). */
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

/* An array of bytes in memory; the elements are borrowed. */
enum { FX_NPY_DIMS_MAX = 4 };
struct fx_npy_bytes {
    int n_dims;
    size_t shape[FX_NPY_DIMS_MAX], n; /* n: their product */
    const uint8_t *values;
};

/* fx_npy_view_bytes: a file of 8-bit integers without sign in memory, in C order, of up to four
 * dimensions.  FX_EINPUT on anything else and when the bytes are not exactly that array. */
enum fx_status fx_npy_view_bytes(const uint8_t *bytes, size_t n_bytes, const char *name,
                                 struct fx_npy_bytes *array, struct fx_err *err) FX_MUST_CHECK;
/* fx_npy_view_indices: as fx_npy_read_indices, of a file in memory. */
enum fx_status fx_npy_view_indices(const uint8_t *bytes, size_t n_bytes, const char *name,
                                   int64_t **values, size_t *n, struct fx_err *err) FX_MUST_CHECK;

#endif
