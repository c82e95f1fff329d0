/* The tensor set: an array in the order of adding, and an index of the names. */
#include "tensor/tensor.h"

#include <stdlib.h>
#include <string.h>

enum { DATA_ALIGNMENT = 64 };

void fx_tensor_set_init(struct fx_tensor_set *set)
{
    *set = (struct fx_tensor_set){ 0 };
}

void fx_tensor_set_fini(struct fx_tensor_set *set)
{
    for (size_t i = 0; i < set->n_tensors; i++)
        free(set->tensors[i].name);
    for (size_t i = 0; i < set->n_meta; i++) {
        free(set->meta[i].key);
        free(set->meta[i].value);
    }
    for (size_t i = 0; i < set->n_storage; i++)
        free(set->storage[i]);
    free(set->tensors);
    free(set->meta);
    free(set->storage);
    fx_name_index_fini(&set->names);
    fx_name_index_fini(&set->keys);
    fx_tensor_set_init(set);
}

/* Makes room for one more element in an array; the array stays valid when memory is short. */
static bool reserve(void **array, size_t n, size_t *cap, size_t element_bytes)
{
    if (n < *cap)
        return true;
    size_t grown_cap = *cap == 0 ? 16 : *cap * 2;
    void *grown = reallocarray(*array, grown_cap, element_bytes);
    if (!grown)
        return false;
    *array = grown;
    *cap = grown_cap;
    return true;
}

/* ---- names ----------------------------------------------------------------------------------- */

static const char *name_of(const void *tensors, size_t number)
{
    return ((const struct fx_tensor *)tensors)[number].name;
}

struct fx_tensor *fx_tensor_set_find(const struct fx_tensor_set *set, const char *name)
{
    int64_t found = fx_name_index_find(&set->names, name, name_of, set->tensors);

    return found != FX_NAME_UNKNOWN ? &set->tensors[found] : NULL;
}

/* ---- adding ---------------------------------------------------------------------------------- */

static enum fx_status out_of_memory(const char *name, struct fx_err *err)
{
    return fx_fail(err, FX_EFAIL, "tensor '%s': out of memory", name);
}

static enum fx_status measure(struct fx_tensor *tensor, const char *name, struct fx_err *err)
{
    tensor->n_bytes = fx_dtype_bytes(tensor->dtype);
    for (int i = 0; i < tensor->n_dims; i++) {
        if (tensor->shape[i] < 0)
            return fx_fail(err, FX_EINPUT, "tensor '%s': negative dimension", name);
        if (__builtin_mul_overflow(tensor->n_bytes, (size_t)tensor->shape[i], &tensor->n_bytes))
            return fx_fail(err, FX_EINPUT, "tensor '%s': its size overflows", name);
    }
    return FX_OK;
}

enum fx_status fx_tensor_set_add(struct fx_tensor_set *set, const char *name, enum fx_dtype dtype,
                                 int n_dims, const int64_t *shape, const void *data,
                                 struct fx_err *err)
{
    struct fx_tensor tensor = { .dtype = dtype, .n_dims = n_dims, .data = data };

    if (n_dims < 0 || n_dims > FX_MAX_DIMS)
        return fx_fail(err, FX_EINPUT, "tensor '%s': %d dimensions, at most %d can be held", name,
                       n_dims, FX_MAX_DIMS);
    if (n_dims > 0)
        memcpy(tensor.shape, shape, (size_t)n_dims * sizeof *shape);
    FX_TRY(measure(&tensor, name, err));
    if (fx_tensor_set_find(set, name))
        return fx_fail(err, FX_EINPUT, "tensor '%s': given twice", name);

    tensor.name = strdup(name);
    if (!tensor.name ||
        !reserve((void **)&set->tensors, set->n_tensors, &set->cap_tensors, sizeof tensor) ||
        !fx_name_index_add(&set->names, name, set->n_tensors)) {
        free(tensor.name);
        return out_of_memory(name, err);
    }
    set->tensors[set->n_tensors++] = tensor;
    return FX_OK;
}

enum fx_status fx_tensor_set_own(struct fx_tensor_set *set, void *block, struct fx_err *err)
{
    if (!reserve((void **)&set->storage, set->n_storage, &set->cap_storage, sizeof block))
        return fx_fail(err, FX_EFAIL, "out of memory");
    set->storage[set->n_storage++] = block;
    return FX_OK;
}

enum fx_status fx_tensor_set_alloc(struct fx_tensor_set *set, const char *name, enum fx_dtype dtype,
                                   int n_dims, const int64_t *shape, void **data,
                                   struct fx_err *err)
{
    void *block;

    FX_TRY(fx_tensor_set_add(set, name, dtype, n_dims, shape, NULL, err));
    struct fx_tensor *tensor = &set->tensors[set->n_tensors - 1];
    size_t n_bytes = tensor->n_bytes > 0 ? tensor->n_bytes : 1;
    if (posix_memalign(&block, DATA_ALIGNMENT, n_bytes) != 0)
        return out_of_memory(name, err);
    enum fx_status status = fx_tensor_set_own(set, block, err);
    if (status != FX_OK) {
        free(block);
        return status;
    }
    memset(block, 0, n_bytes);
    tensor->data = block;
    *data = block;
    return FX_OK;
}

enum fx_status fx_tensor_set_rename(struct fx_tensor_set *set, size_t i, const char *name,
                                    struct fx_err *err)
{
    struct fx_tensor *tensor = &set->tensors[i], *holder = fx_tensor_set_find(set, name);

    if (holder == tensor)
        return FX_OK;
    if (holder)
        return fx_fail(err, FX_EINPUT, "tensor '%s': renaming '%s' would give it twice", name,
                       tensor->name);
    char *copy = strdup(name);
    if (!copy)
        return out_of_memory(name, err);
    fx_name_index_remove(&set->names, tensor->name, i);
    free(tensor->name);
    tensor->name = copy;
    return fx_name_index_add(&set->names, name, i) ? FX_OK : out_of_memory(name, err);
}

/* ---- metadata -------------------------------------------------------------------------------- */

static const char *key_of(const void *meta, size_t number)
{
    return ((const struct fx_meta *)meta)[number].key;
}

static struct fx_meta *find_meta(const struct fx_tensor_set *set, const char *key)
{
    int64_t found = fx_name_index_find(&set->keys, key, key_of, set->meta);

    return found != FX_NAME_UNKNOWN ? &set->meta[found] : NULL;
}

const char *fx_tensor_set_meta(const struct fx_tensor_set *set, const char *key)
{
    const struct fx_meta *meta = find_meta(set, key);

    return meta ? meta->value : NULL;
}

enum fx_status fx_tensor_set_put_meta(struct fx_tensor_set *set, const char *key, const char *value,
                                      struct fx_err *err)
{
    struct fx_meta *meta = find_meta(set, key);
    char *value_copy = strdup(value);

    if (value_copy && meta) {
        free(meta->value);
        meta->value = value_copy;
        return FX_OK;
    }
    char *key_copy = strdup(key);
    if (!key_copy || !value_copy ||
        !reserve((void **)&set->meta, set->n_meta, &set->cap_meta, sizeof *meta) ||
        !fx_name_index_add(&set->keys, key, set->n_meta)) {
        free(key_copy);
        free(value_copy);
        return fx_fail(err, FX_EFAIL, "metadata '%s': out of memory", key);
    }
    set->meta[set->n_meta++] = (struct fx_meta){ .key = key_copy, .value = value_copy };
    return FX_OK;
}
