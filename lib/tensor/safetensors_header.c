/* Checking a safetensors header.  The numbers in comments are the rules as fusion-checkpoint(5)
 * lists them, in the order of the reference reader (huggingface/safetensors, tensor.rs). */
#include "tensor/safetensors_header_internal.h"

#include "base/jsonl.h"

#include <stdlib.h>
#include <string.h>

/* What every check needs to say where it failed. */
struct where {
    const char *file, *tensor;
    struct fx_err *err;
};

static enum fx_status refuse(const struct where *at, const char *why)
{
    if (!at->tensor)
        return fx_fail(at->err, FX_EINPUT, "%s: safetensors header: %s", at->file, why);
    return fx_fail(at->err, FX_EINPUT, "%s: safetensors header: tensor '%s': %s", at->file,
                   at->tensor, why);
}

enum fx_status fx_safetensors_header_length(const uint8_t bytes[FX_SAFETENSORS_LENGTH_BYTES],
                                            const char *name, size_t *n, struct fx_err *err)
{
    uint64_t length = 0;

    for (int i = FX_SAFETENSORS_LENGTH_BYTES - 1; i >= 0; i--)
        length = length << 8 | bytes[i];
    if (length > FX_SAFETENSORS_HEADER_BYTES_MAX) /* rule 2 */
        return fx_fail(err, FX_EINPUT,
                       "%s: not a safetensors file: a header of %llu bytes, at most %d are allowed",
                       name, (unsigned long long)length, FX_SAFETENSORS_HEADER_BYTES_MAX);
    *n = (size_t)length;
    return FX_OK;
}

/* ---- one entry --------------------------------------------------------------------------------
 */

static enum fx_status parse_dtype(struct fx_safetensors_entry *entry, const json_t *dtype,
                                  const struct where *at)
{
    if (!json_is_string(dtype))
        return refuse(at, "dtype is missing or not a string");
    if (!fx_dtype_from_name(json_string_value(dtype), json_string_length(dtype), &entry->dtype))
        return fx_fail(at->err, FX_EINPUT,
                       "%s: safetensors header: tensor '%s': unknown dtype '%.32s'", at->file,
                       at->tensor, json_string_value(dtype));
    return FX_OK;
}

static enum fx_status parse_shape(struct fx_safetensors_entry *entry, const json_t *shape,
                                  const struct where *at)
{
    size_t n = json_array_size(shape);

    if (!json_is_array(shape))
        return refuse(at, "shape is missing or not an array");
    if (n > FX_MAX_DIMS)
        return refuse(at, "more dimensions than can be held");
    entry->n_dims = (int)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *dim = json_array_get(shape, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return refuse(at, "shape holds something that is not a whole number from 0");
        entry->shape[i] = json_integer_value(dim);
    }
    return FX_OK;
}

static enum fx_status parse_offsets(struct fx_safetensors_entry *entry, const json_t *offsets,
                                    const struct where *at)
{
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);

    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return refuse(at, "data_offsets is missing or not two whole numbers");
    if (json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return refuse(at, "data_offsets run backwards"); /* rule 8 */
    entry->begin = (size_t)json_integer_value(begin);
    entry->end = (size_t)json_integer_value(end);
    return FX_OK;
}

/* Rule 9: the bytes are as many as dtype and shape ask for. */
static enum fx_status check_size(const struct fx_safetensors_entry *entry, const struct where *at)
{
    size_t n = fx_dtype_bytes(entry->dtype);

    for (int i = 0; i < entry->n_dims; i++)
        if (__builtin_mul_overflow(n, (size_t)entry->shape[i], &n))
            return refuse(at, "its size overflows");
    if (n != entry->end - entry->begin)
        return fx_fail(at->err, FX_EINPUT,
                       "%s: safetensors header: tensor '%s': data_offsets span %zu bytes, dtype "
                       "and shape ask for %zu",
                       at->file, at->tensor, entry->end - entry->begin, n);
    return FX_OK;
}

/* Rule 7; fields beyond the three are ignored. */
static enum fx_status parse_entry(struct fx_safetensors_entry *entry, const json_t *value,
                                  const struct where *at)
{
    if (!json_is_object(value))
        return refuse(at, "not an object");
    FX_TRY(parse_dtype(entry, json_object_get(value, "dtype"), at));
    FX_TRY(parse_shape(entry, json_object_get(value, "shape"), at));
    FX_TRY(parse_offsets(entry, json_object_get(value, "data_offsets"), at));
    return check_size(entry, at);
}

/* Rule 6: strings only; null counts as absent. */
static enum fx_status parse_metadata(struct fx_tensor_set *set, json_t *metadata,
                                     const struct where *at)
{
    const char *key;
    json_t *value;

    if (json_is_null(metadata))
        return FX_OK;
    if (!json_is_object(metadata))
        return refuse(at, "__metadata__ is not an object");
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return refuse(at, "__metadata__ holds something that is not a string");
        FX_TRY(fx_tensor_set_put_meta(set, key, json_string_value(value), at->err));
    }
    return FX_OK;
}

/* ---- all of them ------------------------------------------------------------------------------
 */

static int by_offsets(const void *left, const void *right)
{
    const struct fx_safetensors_entry *a = left, *b = right;

    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    if (a->end != b->end)
        return a->end < b->end ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* Rule 8: from 0 on, each tensor begins where the one before ends. */
static enum fx_status check_contiguous(struct fx_safetensors_header *header, struct where *at)
{
    size_t end = 0;

    if (header->n_entries > 0)
        qsort(header->entries, header->n_entries, sizeof *header->entries, by_offsets);
    for (size_t i = 0; i < header->n_entries; i++) {
        const struct fx_safetensors_entry *entry = &header->entries[i];
        at->tensor = entry->name;
        if (entry->begin != end)
            return refuse(at, entry->begin > end ? "data_offsets leave a hole before it"
                                                 : "data_offsets overlap the tensor before it");
        end = entry->end;
    }
    header->buffer_bytes = end;
    return FX_OK;
}

static enum fx_status parse_members(struct fx_safetensors_header *header, struct fx_tensor_set *set,
                                    struct where *at)
{
    const char *key;
    json_t *value;

    json_object_foreach(header->root, key, value)
    {
        if (strcmp(key, "__metadata__") == 0) {
            at->tensor = NULL;
            FX_TRY(parse_metadata(set, value, at));
            continue;
        }
        struct fx_safetensors_entry *entry = &header->entries[header->n_entries];
        entry->name = key;
        at->tensor = key;
        FX_TRY(parse_entry(entry, value, at));
        header->n_entries++;
    }
    return check_contiguous(header, at);
}

enum fx_status fx_safetensors_header_parse(struct fx_safetensors_header *header,
                                           struct fx_tensor_set *set, const char *json, size_t n,
                                           const char *name, struct fx_err *err)
{
    struct where at = { .file = name, .err = err };
    json_error_t why;

    *header = (struct fx_safetensors_header){ 0 };
    enum fx_status status = /* rules 4, 5 */
        fx_json_parse(json, n, JSON_REJECT_DUPLICATES, &header->root, &why);
    if (status != FX_OK)
        return fx_fail(err, status, "%s: safetensors header: %s%s", name,
                       status == FX_EINPUT ? "not valid JSON: " : "", why.text);
    if (!json_is_object(header->root))
        return refuse(&at, "not a JSON object");
    header->entries = calloc(json_object_size(header->root) + 1, sizeof *header->entries);
    if (!header->entries)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", name);
    return parse_members(header, set, &at);
}

void fx_safetensors_header_fini(struct fx_safetensors_header *header)
{
    json_decref(header->root);
    free(header->entries);
    *header = (struct fx_safetensors_header){ 0 };
}
