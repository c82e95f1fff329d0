/* A .pth file opened: its pickled object and its storages, whichever container holds them.
 *
 * Internal to the reader: pth_read.c opens a container (pth_zip.c, pth_legacy.c) and walks the
 * names of its object (pth_walk.c); a tensor that is found there (pth_tensor.c) is a view of a
 * storage (pth_storage.c). */
#ifndef FX_ARCHIVE_PTH_FILE_INTERNAL_H
#define FX_ARCHIVE_PTH_FILE_INTERNAL_H

#include "archive/pickle_value_internal.h"
#include "archive/zip_internal.h"
#include "base/io.h"
#include "tensor/tensor.h"

/* The raw bytes that tensors are views of. */
struct fx_pth_storage {
    struct fx_pickle_bytes key;         /* borrowed from the pickle or the zip's names */
    const uint8_t *data;                /* borrowed; NULL: deflated, not read yet */
    const struct fx_zip_member *member; /* borrowed from the zip; NULL in a legacy file */
    size_t n_bytes;
    size_t element_bytes; /* of a legacy file's storage while it is being found */
};

struct fx_pth_file {
    const struct fx_input *in; /* borrowed */
    struct fx_tensor_set *set; /* borrowed: owns every copy that has to be made */
    struct fx_zip zip;         /* owned; zeroed in a legacy file */
    struct fx_pickle pickle;   /* owned: the object */
    struct fx_pickle keys;     /* owned: the list of storage keys of a legacy file */
    bool is_big_endian;
    struct fx_pth_storage *storages; /* owned; sorted by key */
    size_t n_storages;
    size_t n_copy_left; /* bytes that may still be made by inflating and by copying views */
};

/* Names can be longer than a message; so much of one is shown, so that the reason is not cut off.
 */
enum { FX_PTH_SHOWN_BYTES = 120 };

/* Copies may take 16 times the file, and 256 MiB in any case: enough for every honest file, and an
 * end to deflate bombs and to views that repeat one element a billion times. */
enum { FX_PTH_COPY_FACTOR = 16, FX_PTH_COPY_BYTES = 256 << 20 };

/* Both fill pickle, storages and is_big_endian; "FILE: what: why" on FX_EINPUT. */
enum fx_status fx_pth_open_zip(struct fx_pth_file *file, struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_pth_open_legacy(struct fx_pth_file *file, struct fx_err *err) FX_MUST_CHECK;
bool fx_pth_is_legacy(const uint8_t *bytes, size_t n_bytes);

/* ---- storages -------------------------------------------------------------------------------- */

/* Sorts the table; FX_EINPUT when a key stands twice. */
enum fx_status fx_pth_sort_storages(struct fx_pth_file *file, struct fx_err *err) FX_MUST_CHECK;
struct fx_pth_storage *fx_pth_find_storage(const struct fx_pth_file *file,
                                           struct fx_pickle_bytes key); /* or NULL */

/* The elements that a persistent id ('storage', class, key, location, numel[, view]) stands for. */
struct fx_pth_elements {
    struct fx_pth_storage *storage; /* borrowed */
    bool is_untyped;                /* numel counts bytes, the tensor says the dtype */
    enum fx_dtype dtype;
    int64_t offset, n; /* in elements */
};
/* Reads a persistent id; the storage it names must exist and be long enough. */
enum fx_status fx_pth_elements_get(const struct fx_pth_file *file,
                                   const struct fx_pickle_value *persistent,
                                   struct fx_pth_elements *elements,
                                   struct fx_err *err) FX_MUST_CHECK;
/* The class of a storage ("FloatStorage") and of a dtype ("float32"). */
bool fx_pth_storage_dtype(const struct fx_pickle_value *class_name, enum fx_dtype *dtype,
                          bool *is_untyped);
const char *fx_pth_storage_name(enum fx_dtype dtype); /* NULL: no class of its own */
bool fx_pth_dtype_from_global(const struct fx_pickle_value *global, enum fx_dtype *dtype);

/* n bytes owned by the set, counted against n_copy_left. */
enum fx_status fx_pth_copy_alloc(struct fx_pth_file *file, size_t n, uint8_t **block,
                                 struct fx_err *err) FX_MUST_CHECK;

/* FX_EINPUT: the file would expand beyond that. */
enum fx_status fx_pth_refuse_expansion(const struct fx_pth_file *file, struct fx_err *err);

/* Sees to it that the storage's data is there. */
enum fx_status fx_pth_storage_inflate(struct fx_pth_file *file, struct fx_pth_storage *storage,
                                      struct fx_err *err) FX_MUST_CHECK;

/* ---- tensors --------------------------------------------------------------------------------- */

/* Whether the value is spelled as a tensor or parameter (right or wrong inside). */
bool fx_pth_is_tensor(const struct fx_pickle_value *value);
/* Why a tensor of torch cannot be read (it is quantised, sparse, a negated view ...); NULL when it
 * can, or is none. */
const char *fx_pth_why_foreign(const struct fx_pickle_value *value);
/* Adds the tensor to the set under this name, in C order. */
enum fx_status fx_pth_add_tensor(struct fx_pth_file *file, const struct fx_pickle_value *value,
                                 const char *name, struct fx_err *err) FX_MUST_CHECK;

/* ---- names ----------------------------------------------------------------------------------- */

/* Adds every tensor under the value, named by its dotted path. */
enum fx_status fx_pth_walk(struct fx_pth_file *file, struct fx_pickle_value *root,
                           struct fx_err *err) FX_MUST_CHECK;
/* Whether the value is a pickled module: an object with _parameters, _buffers and _modules. */
bool fx_pth_is_module(const struct fx_pickle_value *value);
/* Puts the plain values of a dict (epoch, acc, best_prec1 ...) into the set's metadata. */
enum fx_status fx_pth_put_scalars(struct fx_pth_file *file, const struct fx_pickle_value *dict,
                                  struct fx_err *err) FX_MUST_CHECK;

#endif
