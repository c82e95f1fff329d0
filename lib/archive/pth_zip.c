/* The container of torch >= 1.6: a zip of ROOT/data.pkl, ROOT/version and ROOT/data/KEY. */
#include "archive/pth_file_internal.h"

#include "archive/unpickle_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES_MAX = 4096, VERSION_MAX = 10 };

/* The top directory: all members must stand in one.  Its name with the slash borrows a member's. */
static enum fx_status find_root(const struct fx_pth_file *file, struct fx_pickle_bytes *root,
                                struct fx_err *err)
{
    const struct fx_zip *zip = &file->zip;
    const char *first = zip->n_members > 0 ? zip->members[0].name : "", *slash = strchr(first, '/');

    if (!slash)
        return fx_fail(err, FX_EINPUT, "%s: not a PyTorch file: no top directory in the zip",
                       zip->name);
    *root = (struct fx_pickle_bytes){ (const uint8_t *)first, (size_t)(slash - first) + 1 };
    for (size_t i = 0; i < zip->n_members; i++)
        if (strncmp(zip->members[i].name, first, root->n) != 0)
            return fx_fail(err, FX_EINPUT, "%s: not a PyTorch file: member %s is outside %.*s",
                           zip->name, zip->members[i].name, (int)root->n, first);
    return FX_OK;
}

static const struct fx_zip_member *find_in_root(const struct fx_pth_file *file,
                                                struct fx_pickle_bytes root, const char *name)
{
    char full[NAME_BYTES_MAX];

    if (root.n + strlen(name) >= sizeof full)
        return NULL;
    snprintf(full, sizeof full, "%.*s%s", (int)root.n, (const char *)root.at, name);
    return fx_zip_find(&file->zip, full);
}

/* The content of a member: in the file where it is stored, else inflated into the set's memory. */
static enum fx_status member_data(struct fx_pth_file *file, const struct fx_zip_member *member,
                                  const uint8_t **data, struct fx_err *err)
{
    uint8_t *block;

    *data = file->zip.bytes + member->data_offset;
    if (!member->is_deflated)
        return fx_zip_check(&file->zip, member, err);
    FX_TRY(fx_pth_copy_alloc(file, member->n_bytes, &block, err));
    *data = block;
    return fx_zip_extract(&file->zip, member, block, err);
}

/* A member that holds one short word, without its newline. */
static enum fx_status read_word(struct fx_pth_file *file, const struct fx_zip_member *member,
                                char *word, size_t n, struct fx_err *err)
{
    if (member->n_bytes >= n)
        return fx_fail(err, FX_EINPUT, "%s: member %s: longer than one word", file->zip.name,
                       member->name);
    memset(word, 0, n);
    FX_TRY(fx_zip_extract(&file->zip, member, word, err));
    word[strcspn(word, "\n")] = '\0';
    return FX_OK;
}

static enum fx_status check_version(struct fx_pth_file *file, struct fx_pickle_bytes root,
                                    struct fx_err *err)
{
    const struct fx_zip_member *member = find_in_root(file, root, "version");
    char word[16], *end;

    if (!member)
        member = find_in_root(file, root, ".data/version");
    if (!member)
        return fx_fail(err, FX_EINPUT, "%s: not a PyTorch file: member %.*sversion is missing",
                       file->zip.name, (int)root.n, (const char *)root.at);
    FX_TRY(read_word(file, member, word, sizeof word, err));
    long version = strtol(word, &end, 10);
    if (end == word || *end != '\0' || version < 1 || version > VERSION_MAX)
        return fx_fail(err, FX_EINPUT, "%s: format version '%s' is not one of 1 to %d",
                       file->zip.name, word, VERSION_MAX);
    return FX_OK;
}

static enum fx_status check_byte_order(struct fx_pth_file *file, struct fx_pickle_bytes root,
                                       struct fx_err *err)
{
    const struct fx_zip_member *member = find_in_root(file, root, "byteorder");
    char word[16];

    if (!member)
        return FX_OK;
    FX_TRY(read_word(file, member, word, sizeof word, err));
    file->is_big_endian = strcmp(word, "big") == 0;
    if (!file->is_big_endian && strcmp(word, "little") != 0)
        return fx_fail(err, FX_EINPUT, "%s: byte order is neither little nor big", file->zip.name);
    return FX_OK;
}

/* Every member is checked, also those that no tensor uses: damage anywhere is damage.  Stored ones
 * are used in place, deflated ones inflated when a tensor asks. */
static enum fx_status list_storages(struct fx_pth_file *file, struct fx_pickle_bytes root,
                                    struct fx_err *err)
{
    static const char folder[] = "data/";
    const struct fx_zip *zip = &file->zip;

    file->storages = calloc(zip->n_members + 1, sizeof *file->storages);
    if (!file->storages)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", zip->name);
    for (size_t i = 0; i < zip->n_members; i++) {
        const struct fx_zip_member *member = &zip->members[i];
        const char *key = member->name + root.n;
        if (member->is_deflated && member->n_bytes > file->n_copy_left)
            return fx_pth_refuse_expansion(file, err);
        FX_TRY(fx_zip_check(zip, member, err));
        if (strncmp(key, folder, strlen(folder)) != 0 || key[strlen(folder)] == '\0')
            continue;
        key += strlen(folder);
        file->storages[file->n_storages++] = (struct fx_pth_storage){
            .key = { (const uint8_t *)key, strlen(key) },
            .data = member->is_deflated ? NULL : zip->bytes + member->data_offset,
            .member = member,
            .n_bytes = member->n_bytes,
        };
    }
    return fx_pth_sort_storages(file, err);
}

enum fx_status fx_pth_open_zip(struct fx_pth_file *file, struct fx_err *err)
{
    const struct fx_zip_member *pickled;
    struct fx_pickle_bytes root = { 0 };
    const uint8_t *data = NULL;

    FX_TRY(fx_zip_open(&file->zip, file->in->bytes, file->in->n_bytes, file->in->name, err));
    FX_TRY(find_root(file, &root, err));
    pickled = find_in_root(file, root, "data.pkl");
    if (!pickled)
        return fx_fail(err, FX_EINPUT, "%s: not a PyTorch file: member %.*sdata.pkl is missing",
                       file->zip.name, (int)root.n, (const char *)root.at);
    if (find_in_root(file, root, "constants.pkl"))
        return fx_fail(err, FX_EINPUT,
                       "%s: is a TorchScript program, not a checkpoint: save its state_dict()",
                       file->zip.name);
    FX_TRY(check_version(file, root, err));
    FX_TRY(check_byte_order(file, root, err));
    FX_TRY(list_storages(file, root, err));
    FX_TRY(member_data(file, pickled, &data, err));
    return fx_unpickle(&file->pickle, data, pickled->n_bytes, NULL, file->in->name, err);
}
