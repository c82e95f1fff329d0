/* Writing safetensors: the canonical order, the header, the bytes. */
#include "tensor/safetensors.h"

#include "base/jsonl.h"
#include "base/utf8.h"
#include "tensor/safetensors_header_internal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_ALIGNMENT = 8 };

/* ---- order ------------------------------------------------------------------------------------
 */

static int canonical(const void *left, const void *right)
{
    const struct fx_tensor *a = *(const struct fx_tensor *const *)left;
    const struct fx_tensor *b = *(const struct fx_tensor *const *)right;

    if (a->dtype != b->dtype)
        return a->dtype < b->dtype ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* The tensors in the order of the file; malloc'ed, NULL when memory is short. */
static const struct fx_tensor **sort_tensors(const struct fx_tensor_set *set)
{
    const struct fx_tensor **order = calloc(set->n_tensors + 1, sizeof *order);

    if (!order)
        return NULL;
    for (size_t i = 0; i < set->n_tensors; i++)
        order[i] = &set->tensors[i];
    if (set->n_tensors > 0)
        qsort(order, set->n_tensors, sizeof *order, canonical);
    return order;
}

/* ---- the header as JSON -----------------------------------------------------------------------
 */

static int by_key(const void *left, const void *right)
{
    const struct fx_meta *a = left, *b = right;

    return strcmp(a->key, b->key);
}

/* The metadata with sorted keys, and "format": "pt", which PyTorch's readers look for. */
static json_t *metadata_json(const struct fx_tensor_set *set)
{
    json_t *object = json_object();
    struct fx_meta *sorted = calloc(set->n_meta + 1, sizeof *sorted);
    bool failed = !object || !sorted;
    size_t n = set->n_meta;

    if (!failed) {
        if (n > 0)
            memcpy(sorted, set->meta, n * sizeof *sorted);
        if (!fx_tensor_set_meta(set, "format"))
            sorted[n++] = (struct fx_meta){ .key = (char *)"format", .value = (char *)"pt" };
        qsort(sorted, n, sizeof *sorted, by_key);
    }
    for (size_t i = 0; !failed && i < n; i++) {
        char *key = fx_utf8_mend(sorted[i].key);
        failed = !key || json_object_set_new(object, key, fx_json_text(sorted[i].value)) != 0;
        free(key);
    }
    free(sorted);
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *tensor_json(const struct fx_tensor *tensor, size_t begin)
{
    json_t *shape = json_array();
    bool failed = !shape;

    for (int i = 0; !failed && i < tensor->n_dims; i++)
        failed = json_array_append_new(shape, json_integer(tensor->shape[i])) != 0;
    if (failed) {
        json_decref(shape);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", fx_dtype_name(tensor->dtype), "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)(begin + tensor->n_bytes));
}

static json_t *header_json(const struct fx_tensor_set *set, const struct fx_tensor **order)
{
    json_t *root = json_object();
    size_t begin = 0;
    bool failed = !root || json_object_set_new(root, "__metadata__", metadata_json(set)) != 0;

    for (size_t i = 0; !failed && i < set->n_tensors; i++) {
        failed = json_object_set_new(root, order[i]->name, tensor_json(order[i], begin)) != 0;
        begin += order[i]->n_bytes;
    }
    if (failed) {
        json_decref(root);
        return NULL;
    }
    return root;
}

/* Length, JSON and padding as they stand in the file; malloc'ed, NULL when memory is short or a
 * name is not UTF-8. */
static uint8_t *header_bytes(json_t *root, size_t *n)
{
    size_t n_json = json_dumpb(root, NULL, 0, JSON_COMPACT);
    size_t n_padded = (n_json + HEADER_ALIGNMENT - 1) / HEADER_ALIGNMENT * HEADER_ALIGNMENT;
    uint8_t *bytes = n_json > 0 ? malloc(FX_SAFETENSORS_LENGTH_BYTES + n_padded) : NULL;

    if (!bytes)
        return NULL;
    for (int i = 0; i < FX_SAFETENSORS_LENGTH_BYTES; i++)
        bytes[i] = (uint8_t)((uint64_t)n_padded >> (8 * i));
    char *json = (char *)bytes + FX_SAFETENSORS_LENGTH_BYTES;
    if (json_dumpb(root, json, n_json, JSON_COMPACT) != n_json) { /* it needs memory, too */
        free(bytes);
        return NULL;
    }
    memset(json + n_json, ' ', n_padded - n_json);
    *n = FX_SAFETENSORS_LENGTH_BYTES + n_padded;
    return bytes;
}

static enum fx_status write_header(const struct fx_tensor_set *set, const struct fx_tensor **order,
                                   int fd, const char *name, struct fx_err *err)
{
    json_t *root = header_json(set, order);
    size_t n;
    uint8_t *bytes = root ? header_bytes(root, &n) : NULL;
    enum fx_status status;

    if (!bytes)
        status = fx_fail(err, FX_EFAIL, "%s: out of memory, or a tensor name is not UTF-8", name);
    else
        status = fx_write_full(fd, bytes, n, name, err);
    free(bytes);
    json_decref(root);
    return status;
}

/* ---- the bytes --------------------------------------------------------------------------------
 */

static size_t fetch_bytes_max(const struct fx_tensor_set *set)
{
    size_t max = 0;

    for (size_t i = 0; i < set->n_tensors; i++)
        if (!set->tensors[i].data && set->tensors[i].n_bytes > max)
            max = set->tensors[i].n_bytes;
    return max;
}

enum fx_status fx_safetensors_write(const struct fx_tensor_set *set, int fd, const char *name,
                                    fx_tensor_fetch fetch, void *ctx, struct fx_err *err)
{
    size_t n_fetch = fetch_bytes_max(set);
    void *fetched = n_fetch > 0 ? malloc(n_fetch) : NULL;
    const struct fx_tensor **order = sort_tensors(set);
    enum fx_status status = FX_OK;

    if (!order || (n_fetch > 0 && !fetched)) {
        status = fx_fail(err, FX_EFAIL, "%s: out of memory", name);
        goto out;
    }
    FX_TRY_OUT(write_header(set, order, fd, name, err));
    for (size_t i = 0; i < set->n_tensors; i++) {
        const void *data = order[i]->data;
        if (!data && order[i]->n_bytes > 0) {
            FX_TRY_OUT(fetch(ctx, order[i], fetched, err));
            data = fetched;
        }
        FX_TRY_OUT(fx_write_full(fd, data, order[i]->n_bytes, name, err));
    }
out:
    free(order);
    free(fetched);
    return status;
}
