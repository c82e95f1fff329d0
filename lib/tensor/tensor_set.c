/* The tensor set: an array in the order of adding, and a hash table over the names. */
#include "tensor/tensor.h"

#include <stdlib.h>
#include <string.h>

enum { DATA_ALIGNMENT = 64, INDEX_SLOTS_MIN = 64 };

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
    free(set->index);
    fx_tensor_set_init(set);
}

/* Makes room for one more element in an array; the array stays valid when memory is short. */
static bool reserve(void **array, size_t n, size_t *cap, size_t element_bytes)
{
    if (n < *cap)
        return true;
    size_t grown_cap = *cap == 0 ? 16 : *cap * 2;
    void *grown = reallocarray(*array, grown_cap, element_bytes);
    if (grown == NULL)
        return false;
    *array = grown;
    *cap = grown_cap;
    return true;
}

/* ---- the index: open addressing, linear probing, at most half full ------------------------------
 */

/* FNV-1a, 64 bits. */
static size_t hash_name(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return (size_t)hash;
}

/* The slot that holds the name, or the empty one where it belongs. */
static size_t slot_of(const struct fx_tensor_set *set, const char *name)
{
    size_t mask = set->cap_index - 1, slot = hash_name(name) & mask;

    while (set->index[slot] != 0 && strcmp(set->tensors[set->index[slot] - 1].name, name) != 0)
        slot = (slot + 1) & mask;
    return slot;
}

static bool index_reserve(struct fx_tensor_set *set)
{
    if ((set->n_tensors + 1) * 2 <= set->cap_index)
        return true;
    size_t cap = set->cap_index == 0 ? INDEX_SLOTS_MIN : set->cap_index * 2;
    size_t *slots = calloc(cap, sizeof *slots);
    if (slots == NULL)
        return false;
    free(set->index);
    set->index = slots;
    set->cap_index = cap;
    for (size_t i = 0; i < set->n_tensors; i++)
        set->index[slot_of(set, set->tensors[i].name)] = i + 1;
    return true;
}

/* Empties a slot and closes the gap: whatever probed past it moves back. */
static void index_remove(struct fx_tensor_set *set, size_t gap)
{
    size_t mask = set->cap_index - 1;

    set->index[gap] = 0;
    for (size_t slot = (gap + 1) & mask; set->index[slot] != 0; slot = (slot + 1) & mask) {
        size_t home = hash_name(set->tensors[set->index[slot] - 1].name) & mask;
        if (((slot - home) & mask) < ((slot - gap) & mask))
            continue; /* its home lies behind the gap */
        set->index[gap] = set->index[slot];
        set->index[slot] = 0;
        gap = slot;
    }
}

struct fx_tensor *fx_tensor_set_find(const struct fx_tensor_set *set, const char *name)
{
    size_t found = set->cap_index > 0 ? set->index[slot_of(set, name)] : 0;

    return found > 0 ? &set->tensors[found - 1] : NULL;
}

/* ---- adding -----------------------------------------------------------------------------------
 */

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
    if (fx_tensor_set_find(set, name) != NULL)
        return fx_fail(err, FX_EINPUT, "tensor '%s': given twice", name);

    tensor.name = strdup(name);
    if (tensor.name == NULL || !index_reserve(set) ||
        !reserve((void **)&set->tensors, set->n_tensors, &set->cap_tensors, sizeof tensor)) {
        free(tensor.name);
        return out_of_memory(name, err);
    }
    set->index[slot_of(set, name)] = set->n_tensors + 1;
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
    if (holder != NULL)
        return fx_fail(err, FX_EINPUT, "tensor '%s': renaming '%s' would give it twice", name,
                       tensor->name);
    char *copy = strdup(name);
    if (copy == NULL)
        return out_of_memory(name, err);
    index_remove(set, slot_of(set, tensor->name));
    free(tensor->name);
    tensor->name = copy;
    set->index[slot_of(set, name)] = i + 1;
    return FX_OK;
}

/* ---- metadata ---------------------------------------------------------------------------------
 */

static struct fx_meta *find_meta(const struct fx_tensor_set *set, const char *key)
{
    for (size_t i = 0; i < set->n_meta; i++)
        if (strcmp(set->meta[i].key, key) == 0)
            return &set->meta[i];
    return NULL;
}

const char *fx_tensor_set_meta(const struct fx_tensor_set *set, const char *key)
{
    const struct fx_meta *meta = find_meta(set, key);

    return meta != NULL ? meta->value : NULL;
}

enum fx_status fx_tensor_set_put_meta(struct fx_tensor_set *set, const char *key, const char *value,
                                      struct fx_err *err)
{
    struct fx_meta *meta = find_meta(set, key);
    char *value_copy = strdup(value);

    if (value_copy != NULL && meta != NULL) {
        free(meta->value);
        meta->value = value_copy;
        return FX_OK;
    }
    char *key_copy = strdup(key);
    if (key_copy == NULL || value_copy == NULL ||
        !reserve((void **)&set->meta, set->n_meta, &set->cap_meta, sizeof *meta)) {
        free(key_copy);
        free(value_copy);
        return fx_fail(err, FX_EFAIL, "metadata '%s': out of memory", key);
    }
    set->meta[set->n_meta++] = (struct fx_meta){ .key = key_copy, .value = value_copy };
    return FX_OK;
}
