/* Named tensors: what every binary stream of the toolchain carries. */
#ifndef FX_TENSOR_TENSOR_H
#define FX_TENSOR_TENSOR_H

#include "base/name_index.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The dtypes that safetensors names and a checkpoint can hold; all little endian.  The order is
 * that of the tensors in a canonical safetensors file. */
enum fx_dtype {
    FX_U64,
    FX_I64,
    FX_F64,
    FX_C64,
    FX_F32,
    FX_U32,
    FX_I32,
    FX_BF16,
    FX_F16,
    FX_U16,
    FX_I16,
    FX_F8_E4M3,
    FX_F8_E5M2,
    FX_I8,
    FX_U8,
    FX_BOOL,
    FX_N_DTYPES
};

size_t fx_dtype_bytes(enum fx_dtype dtype);
const char *fx_dtype_name(enum fx_dtype dtype); /* the safetensors name, "F32" */
bool fx_dtype_from_name(const char *name, size_t n, enum fx_dtype *dtype);

enum { FX_MAX_DIMS = 8 };

/* One tensor in C order.  The data is borrowed: it lives in the set's storage, in a mapping, or
 * wherever the maker of the set says.  !data with n_bytes > 0: fetched when written. */
struct fx_tensor {
    char *name; /* owned by the set */
    enum fx_dtype dtype;
    int n_dims;
    int64_t shape[FX_MAX_DIMS];
    size_t n_bytes;
    const void *data;
};

struct fx_meta {
    char *key, *value; /* owned by the set */
};

/* An ordered set of tensors with string metadata; names and keys are unique.
 * `storage` blocks hold data that the set owns (fx_tensor_set_own, fx_tensor_set_alloc). */
struct fx_tensor_set {
    struct fx_tensor *tensors; /* owned */
    size_t n_tensors, cap_tensors;
    struct fx_meta *meta; /* owned */
    size_t n_meta, cap_meta;
    void **storage; /* owned blocks */
    size_t n_storage, cap_storage;
    struct fx_name_index names, keys; /* of tensors and of metadata */
};

void fx_tensor_set_init(struct fx_tensor_set *set);
void fx_tensor_set_fini(struct fx_tensor_set *set); /* accepts a zeroed set */

/* Adds a tensor; the name is copied, the data borrowed.  FX_EINPUT on a duplicate name, a product
 * of dimensions that overflows, or more than FX_MAX_DIMS dimensions. */
enum fx_status fx_tensor_set_add(struct fx_tensor_set *set, const char *name, enum fx_dtype dtype,
                                 int n_dims, const int64_t *shape, const void *data,
                                 struct fx_err *err) FX_MUST_CHECK;
/* As fx_tensor_set_add, with zeroed memory owned by the set; *data is 64-byte aligned. */
enum fx_status fx_tensor_set_alloc(struct fx_tensor_set *set, const char *name, enum fx_dtype dtype,
                                   int n_dims, const int64_t *shape, void **data,
                                   struct fx_err *err) FX_MUST_CHECK;
/* Hands a malloc'ed block to the set, which frees it in fini. */
enum fx_status fx_tensor_set_own(struct fx_tensor_set *set, void *block,
                                 struct fx_err *err) FX_MUST_CHECK;

struct fx_tensor *fx_tensor_set_find(const struct fx_tensor_set *set,
                                     const char *name); /* or NULL */
/* Renames tensor i; FX_EINPUT when the name exists. */
enum fx_status fx_tensor_set_rename(struct fx_tensor_set *set, size_t i, const char *name,
                                    struct fx_err *err) FX_MUST_CHECK;

const char *fx_tensor_set_meta(const struct fx_tensor_set *set, const char *key); /* or NULL */
enum fx_status fx_tensor_set_put_meta(struct fx_tensor_set *set, const char *key, const char *value,
                                      struct fx_err *err) FX_MUST_CHECK;

/* "(64, 3, 3, 3)" into buf; returns buf. */
char *fx_shape_text(int n_dims, const int64_t *shape, char *buf, size_t n);

/* Element-wise conversion to f32 (F64 F32 F16 BF16 and integers).  n elements, dst f32.
 * *inexact is set when a value changed (f64 to f32, large integers). */
enum fx_status fx_convert_to_f32(enum fx_dtype dtype, const void *src, size_t n, float *dst,
                                 bool *inexact, struct fx_err *err) FX_MUST_CHECK;

/* How many of the tensor's values are no finite number as f32 (NaN, infinities, f64 beyond f32);
 * 0 for whole numbers.  The data must be there. */
size_t fx_tensor_count_nonfinite(const struct fx_tensor *tensor);

/* From the bits of a number in 16 bits; no compiler or processor need have the type. */
float fx_f16_to_f32(uint16_t bits);

static inline float fx_bf16_to_f32(uint16_t bits)
{
    union {
        uint32_t u;
        float f;
    } v = { .u = (uint32_t)bits << 16 };
    return v.f;
}

#endif
