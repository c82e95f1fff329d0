/* Storages of a .pth: the table by key, what a persistent id says about one, and the memory of what
 * has to be inflated or copied. */
#include "archive/pth_file_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Names of torch's storage classes and dtypes. */
static const struct {
    const char *storage, *dtype_name;
    enum fx_dtype dtype;
} names[] = {
    { "FloatStorage", "float32", FX_F32 },
    { "DoubleStorage", "float64", FX_F64 },
    { "HalfStorage", "float16", FX_F16 },
    { "BFloat16Storage", "bfloat16", FX_BF16 },
    { "LongStorage", "int64", FX_I64 },
    { "IntStorage", "int32", FX_I32 },
    { "ShortStorage", "int16", FX_I16 },
    { "CharStorage", "int8", FX_I8 },
    { "ByteStorage", "uint8", FX_U8 },
    { "BoolStorage", "bool", FX_BOOL },
    { "ComplexFloatStorage", "complex64", FX_C64 },
    { NULL, "uint16", FX_U16 },
    { NULL, "uint32", FX_U32 },
    { NULL, "uint64", FX_U64 },
    { NULL, "float8_e4m3fn", FX_F8_E4M3 },
    { NULL, "float8_e5m2", FX_F8_E5M2 },
};
enum { N_NAMES = sizeof names / sizeof *names };

bool fx_pth_storage_dtype(const struct fx_pickle_value *class_name, enum fx_dtype *dtype,
                          bool *is_untyped)
{
    *is_untyped = fx_pickle_is_global(class_name, "torch.storage", "UntypedStorage") ||
                  fx_pickle_is_global(class_name, "torch", "UntypedStorage");
    *dtype = FX_U8;
    for (size_t i = 0; i < N_NAMES && !*is_untyped; i++) {
        if (names[i].storage && (fx_pickle_is_global(class_name, "torch", names[i].storage) ||
                                 fx_pickle_is_global(class_name, "torch.cuda", names[i].storage))) {
            *dtype = names[i].dtype;
            return true;
        }
    }
    return *is_untyped;
}

const char *fx_pth_storage_name(enum fx_dtype dtype)
{
    for (size_t i = 0; i < N_NAMES; i++)
        if (names[i].dtype == dtype)
            return names[i].storage;
    return NULL;
}

bool fx_pth_dtype_from_global(const struct fx_pickle_value *global, enum fx_dtype *dtype)
{
    for (size_t i = 0; i < N_NAMES; i++) {
        if (fx_pickle_is_global(global, "torch", names[i].dtype_name)) {
            *dtype = names[i].dtype;
            return true;
        }
    }
    return false;
}

/* ---- the table ------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const struct fx_pth_storage *x = a, *y = b;

    if (x->key.n != y->key.n)
        return x->key.n < y->key.n ? -1 : 1;
    return x->key.n > 0 ? memcmp(x->key.at, y->key.at, x->key.n) : 0;
}

enum fx_status fx_pth_sort_storages(struct fx_pth_file *file, struct fx_err *err)
{
    struct fx_pth_storage *storages = file->storages;
    char key[64];

    qsort(storages, file->n_storages, sizeof *storages, by_key);
    for (size_t i = 1; i < file->n_storages; i++)
        if (by_key(&storages[i - 1], &storages[i]) == 0)
            return fx_fail(err, FX_EINPUT, "%s: storage %s is listed twice", file->in->name,
                           fx_pickle_printable(storages[i].key, key, sizeof key));
    return FX_OK;
}

struct fx_pth_storage *fx_pth_find_storage(const struct fx_pth_file *file,
                                           struct fx_pickle_bytes key)
{
    struct fx_pth_storage wanted = { .key = key };

    if (file->n_storages == 0)
        return NULL;
    return bsearch(&wanted, file->storages, file->n_storages, sizeof wanted, by_key);
}

/* ---- persistent ids -------------------------------------------------------------------------- */

/* A view (key, offset, numel) of a storage, as torch before 0.2 wrote it: a part of its elements.
 */
static bool narrow_to_view(const struct fx_pickle_value *view, struct fx_pth_elements *elements)
{
    int64_t offset, n;

    if (!view || view->kind == FX_PICKLE_NONE)
        return true;
    if (!fx_pickle_integer(fx_pickle_at(view, 1), &offset) ||
        !fx_pickle_integer(fx_pickle_at(view, 2), &n) || offset < 0 || n < 0 ||
        offset > elements->n || n > elements->n - offset)
        return false;
    elements->offset = offset;
    elements->n = n;
    return true;
}

enum fx_status fx_pth_elements_get(const struct fx_pth_file *file,
                                   const struct fx_pickle_value *persistent,
                                   struct fx_pth_elements *elements, struct fx_err *err)
{
    const struct fx_pickle_value *id, *key;
    const char *name = file->in->name;
    char what[96];

    id = persistent && persistent->kind == FX_PICKLE_PERSISTENT ? persistent->persistent.id : NULL;
    key = fx_pickle_at(id, 2);
    *elements = (struct fx_pth_elements){ 0 };
    if (!fx_pickle_is_text(fx_pickle_at(id, 0), "storage") || !key ||
        (key->kind != FX_PICKLE_TEXT && key->kind != FX_PICKLE_BYTES) ||
        !fx_pickle_integer(fx_pickle_at(id, 4), &elements->n) || elements->n < 0)
        return fx_fail(err, FX_EINPUT, "%s: malformed storage reference", name);
    if (!fx_pth_storage_dtype(fx_pickle_at(id, 1), &elements->dtype, &elements->is_untyped))
        return fx_fail(err, FX_EINPUT, "%s: storage of %s is not supported", name,
                       fx_pickle_describe(fx_pickle_at(id, 1), what, sizeof what));
    elements->storage = fx_pth_find_storage(file, key->bytes);
    if (!elements->storage)
        return fx_fail(err, FX_EINPUT, "%s: storage %s is missing", name,
                       fx_pickle_printable(key->bytes, what, sizeof what));
    if ((uint64_t)elements->n > elements->storage->n_bytes / fx_dtype_bytes(elements->dtype))
        return fx_fail(err, FX_EINPUT,
                       "%s: storage %s has %zu bytes, too few for %" PRId64 " elements of %s", name,
                       fx_pickle_printable(key->bytes, what, sizeof what),
                       elements->storage->n_bytes, elements->n, fx_dtype_name(elements->dtype));
    if (!narrow_to_view(fx_pickle_at(id, 5), elements))
        return fx_fail(err, FX_EINPUT, "%s: storage view lies outside its storage", name);
    return FX_OK;
}

/* ---- copies ---------------------------------------------------------------------------------- */

enum fx_status fx_pth_refuse_expansion(const struct fx_pth_file *file, struct fx_err *err)
{
    return fx_fail(err, FX_EINPUT, "%s: expands to more than %d times its size: refused",
                   file->in->name, FX_PTH_COPY_FACTOR);
}

enum fx_status fx_pth_copy_alloc(struct fx_pth_file *file, size_t n, uint8_t **block,
                                 struct fx_err *err)
{
    if (n > file->n_copy_left)
        return fx_pth_refuse_expansion(file, err);
    *block = malloc(n + 1);
    if (!*block)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", file->in->name);
    if (fx_tensor_set_own(file->set, *block, err) != FX_OK) {
        free(*block);
        return err->status;
    }
    file->n_copy_left -= n;
    return FX_OK;
}

enum fx_status fx_pth_storage_inflate(struct fx_pth_file *file, struct fx_pth_storage *storage,
                                      struct fx_err *err)
{
    uint8_t *block;

    if (storage->data)
        return FX_OK;
    FX_TRY(fx_pth_copy_alloc(file, storage->n_bytes, &block, err));
    storage->data = block;
    return fx_zip_extract(&file->zip, storage->member, block, err);
}
