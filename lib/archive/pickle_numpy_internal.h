/* NumPy arrays and scalars inside a pickle: the spelling of every NumPy and Python version, brought
 * to one record.  CIFAR batches are such arrays; accuracies in checkpoints are such scalars. */
#ifndef FX_ARCHIVE_PICKLE_NUMPY_INTERNAL_H
#define FX_ARCHIVE_PICKLE_NUMPY_INTERNAL_H

#include "archive/pickle_value_internal.h"

enum { FX_PICKLE_ARRAY_DIMS_MAX = 8 };

struct fx_pickle_array {
    char kind;      /* 'b' bool, 'i' signed, 'u' unsigned, 'f' real */
    int item_bytes; /* 1, 2, 4 or 8 */
    bool is_big_endian;
    bool is_fortran; /* the first index runs fastest; false when that makes no difference */
    int n_dims;      /* 0 for a scalar */
    int64_t shape[FX_PICKLE_ARRAY_DIMS_MAX];
    size_t n_items;              /* product of shape */
    struct fx_pickle_bytes data; /* borrowed from the tree: exactly n_items * item_bytes */
};

/* Whether the value is spelled as an ndarray or a scalar of NumPy (right or wrong inside). */
bool fx_pickle_is_array(const struct fx_pickle_value *value);

/* fx_pickle_array_view: fills *array from an ndarray (_reconstruct and BUILD, or protocol 5's
 * _frombuffer) or a scalar (n_dims = 0).  FX_EINPUT, "NAME: ...", on any other value, a dtype that
 * is no plain number, a shape that overflows, or data of another length. */
enum fx_status fx_pickle_array_view(const struct fx_pickle_value *value,
                                    struct fx_pickle_array *array, const char *name,
                                    struct fx_err *err) FX_MUST_CHECK;

/* Element i in memory order; of a bool or integer (u8 values above INT64_MAX wrap), and of any
 * array as a double. */
int64_t fx_pickle_array_integer(const struct fx_pickle_array *array, size_t i);
double fx_pickle_array_real(const struct fx_pickle_array *array, size_t i);

#endif
