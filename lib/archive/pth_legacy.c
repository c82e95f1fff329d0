/* The stream of torch < 1.6: five pickles (magic number, protocol version, system, object, list of
 * storage keys), then for each key the number of elements and the elements.
 * Source: torch/serialization.py, _legacy_save and _legacy_load. */
#include "archive/pth_file_internal.h"

#include "archive/unpickle_internal.h"
#include "archive/zip_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { PROTOCOL_VERSION = 1001, COUNT_BYTES = 8 };

/* The magic number 0x1950a86a20f9469cfc6c and STOP, as every protocol spells them. */
static const uint8_t magic[] = { 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9,
                                 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e };

/* Where the first pickle ends, 0 when it is not the magic number.  It begins with PROTO, from
 * protocol 4 on followed by FRAME and 8 bytes of length. */
static size_t magic_end(const uint8_t *bytes, size_t n_bytes)
{
    size_t at = n_bytes >= 3 && bytes[2] == 0x95 ? 11 : 2;

    if (n_bytes < at + sizeof magic || bytes[0] != 0x80 ||
        memcmp(bytes + at, magic, sizeof magic) != 0)
        return 0;
    return at + sizeof magic;
}

bool fx_pth_is_legacy(const uint8_t *bytes, size_t n_bytes)
{
    return magic_end(bytes, n_bytes) > 0;
}

static enum fx_status next_pickle(const struct fx_pth_file *file, size_t *at,
                                  struct fx_pickle *pickle, struct fx_err *err)
{
    size_t used = 0;

    FX_TRY(fx_unpickle(pickle, file->in->bytes + *at, file->in->n_bytes - *at, &used,
                       file->in->name, err));
    *at += used;
    return FX_OK;
}

/* Protocol version and system.  The system's byte order says nothing: this stream is little endian
 * on every machine. */
static enum fx_status read_preamble(struct fx_pth_file *file, size_t *at, struct fx_err *err)
{
    struct fx_pickle version = { 0 }, system = { 0 };
    int64_t number = 0;
    enum fx_status status;

    FX_TRY_OUT(next_pickle(file, at, &version, err));
    FX_TRY_OUT(next_pickle(file, at, &system, err));
    if (!fx_pickle_integer(version.root, &number) || number != PROTOCOL_VERSION)
        status = fx_fail(err, FX_EINPUT, "%s: stream version is not %d", file->in->name,
                         PROTOCOL_VERSION);
out:
    fx_pickle_fini(&version);
    fx_pickle_fini(&system);
    return status;
}

/* One storage in the table for each key of the list, without its place. */
static enum fx_status list_keys(struct fx_pth_file *file, struct fx_err *err)
{
    const struct fx_pickle_value *list = file->keys.root;

    if (list->kind != FX_PICKLE_LIST)
        return fx_fail(err, FX_EINPUT, "%s: no list of storages", file->in->name);
    file->storages = calloc(list->seq.n + 1, sizeof *file->storages);
    if (!file->storages)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", file->in->name);
    for (size_t i = 0; i < list->seq.n; i++) {
        const struct fx_pickle_value *key = list->seq.items[i];
        if (key->kind != FX_PICKLE_TEXT && key->kind != FX_PICKLE_BYTES)
            return fx_fail(err, FX_EINPUT, "%s: a storage key is no string", file->in->name);
        file->storages[file->n_storages++] = (struct fx_pth_storage){ .key = key->bytes };
    }
    return fx_pth_sort_storages(file, err);
}

/* The stream gives numbers of elements; their size stands with the references in the object. */
static enum fx_status read_element_sizes(struct fx_pth_file *file, struct fx_err *err)
{
    const struct fx_pickle_value *reference = file->pickle.last_persistent;

    for (; reference; reference = reference->persistent.next) {
        const struct fx_pickle_value *id = reference->persistent.id, *key = fx_pickle_at(id, 2);
        struct fx_pth_storage *storage;
        enum fx_dtype dtype;
        bool is_untyped;

        if (!fx_pickle_is_text(fx_pickle_at(id, 0), "storage") || !key ||
            (key->kind != FX_PICKLE_TEXT && key->kind != FX_PICKLE_BYTES) ||
            !fx_pth_storage_dtype(fx_pickle_at(id, 1), &dtype, &is_untyped))
            continue;
        storage = fx_pth_find_storage(file, key->bytes);
        if (!storage)
            continue;
        if (storage->element_bytes != 0 && storage->element_bytes != fx_dtype_bytes(dtype))
            return fx_fail(err, FX_EINPUT, "%s: a storage has two types", file->in->name);
        storage->element_bytes = fx_dtype_bytes(dtype);
    }
    return FX_OK;
}

/* The elements of one storage at *at. */
static enum fx_status read_storage(struct fx_pth_file *file, struct fx_pth_storage *storage,
                                   size_t *at, struct fx_err *err)
{
    const char *name = file->in->name;
    size_t left = file->in->n_bytes - *at;
    uint64_t n;
    char key[64];

    fx_pickle_printable(storage->key, key, sizeof key);
    if (storage->element_bytes == 0)
        return fx_fail(err, FX_EINPUT, "%s: storage %s belongs to no tensor", name, key);
    if (left < COUNT_BYTES)
        return fx_fail(err, FX_EINPUT, "%s: cut before storage %s", name, key);
    n = fx_zip_u64(file->in->bytes + *at);
    if (n > (left - COUNT_BYTES) / storage->element_bytes)
        return fx_fail(err, FX_EINPUT,
                       "%s: cut: storage %s of %" PRIu64 " elements, %zu bytes left", name, key, n,
                       left - COUNT_BYTES);
    storage->data = file->in->bytes + *at + COUNT_BYTES;
    storage->n_bytes = (size_t)n * storage->element_bytes;
    *at += COUNT_BYTES + storage->n_bytes;
    return FX_OK;
}

enum fx_status fx_pth_open_legacy(struct fx_pth_file *file, struct fx_err *err)
{
    size_t at = magic_end(file->in->bytes, file->in->n_bytes);

    FX_TRY(read_preamble(file, &at, err));
    FX_TRY(next_pickle(file, &at, &file->pickle, err));
    FX_TRY(next_pickle(file, &at, &file->keys, err));
    FX_TRY(list_keys(file, err));
    FX_TRY(read_element_sizes(file, err));
    for (size_t i = 0; i < file->n_storages; i++) {
        const struct fx_pickle_value *key = file->keys.root->seq.items[i];
        FX_TRY(read_storage(file, fx_pth_find_storage(file, key->bytes), &at, err));
    }
    if (at != file->in->n_bytes)
        return fx_fail(err, FX_EINPUT, "%s: %zu bytes follow the last storage", file->in->name,
                       file->in->n_bytes - at);
    return FX_OK;
}
