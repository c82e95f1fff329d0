/* Reading tar through libarchive, fed from the verified gzip layer (see tar_internal.h). */
#include "archive/tar_internal.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 1 << 18, MEMBER_BYTES_FIRST = 1 << 20, RESERVE_BYTES = 1 << 20 };

/* What libarchive calls for more input.  A failure is kept in the record: libarchive would replace
 * its message with a guess about the tar. */
static la_ssize_t feed(struct archive *reader, void *context, const void **block)
{
    struct fx_tar *tar = context;
    size_t n = 0;

    (void)reader;
    *block = tar->block;
    tar->input_status = fx_gunzip_read(&tar->input, tar->block, BLOCK_BYTES, &n, &tar->input_err);
    return tar->input_status == FX_OK ? (la_ssize_t)n : -1;
}

/* Behind a call of libarchive that failed.  Memory that was short is not the archive's fault,
 * whether libarchive says so or nothing. */
static enum fx_status fail(struct fx_tar *tar, const char *what, struct fx_err *err)
{
    const char *why = archive_error_string(tar->reader);
    bool is_short = errno == ENOMEM;

    if (tar->input_status != FX_OK)
        return fx_fail(err, tar->input_status, "%s", tar->input_err.msg);
    if (archive_errno(tar->reader) == ENOMEM || (!why && is_short))
        return fx_fail(err, FX_EFAIL, "%s: out of memory", tar->input.name);
    return fx_fail(err, FX_EINPUT, "%s: %s: %s", tar->input.name, what, why ? why : "damaged");
}

enum fx_status fx_tar_open(struct fx_tar *tar, const char *path, struct fx_err *err)
{
    *tar = (struct fx_tar){ 0 };
    FX_TRY(fx_gunzip_open(&tar->input, path, err));
    /* libarchive does not look whether it gets the memory of a reader. */
    void *reserve = malloc(RESERVE_BYTES);
    if (!reserve)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", tar->input.name);
    free(reserve);
    tar->block = malloc(BLOCK_BYTES);
    tar->reader = archive_read_new();
    if (!tar->block || !tar->reader || archive_read_support_format_tar(tar->reader) != ARCHIVE_OK)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", tar->input.name);
    if (archive_read_open(tar->reader, tar, NULL, feed, NULL) != ARCHIVE_OK)
        return fail(tar, "not a tar or tar.gz archive", err);
    return FX_OK;
}

/* Reads on after the end of the tar: what follows it must still have the right CRC. */
static enum fx_status drain(struct fx_tar *tar, struct fx_err *err)
{
    size_t n;

    do
        FX_TRY(fx_gunzip_read(&tar->input, tar->block, BLOCK_BYTES, &n, err));
    while (n > 0);
    return FX_OK;
}

static bool leads_outside(const char *path)
{
    const char *part = path;

    if (path[0] == '/')
        return true;
    while ((part = strstr(part, ".."))) {
        bool begins = part == path || part[-1] == '/';
        part += 2;
        if (begins && (*part == '/' || *part == '\0'))
            return true;
    }
    return false;
}

enum fx_status fx_tar_next(struct fx_tar *tar, struct fx_tar_entry *entry, struct fx_err *err)
{
    struct archive_entry *header;

    *entry = (struct fx_tar_entry){ 0 };
    int code = archive_read_next_header(tar->reader, &header);
    if (code == ARCHIVE_EOF)
        return drain(tar, err);
    /* A warning is about names or times in other character sets. */
    if (code != ARCHIVE_OK && code != ARCHIVE_WARN)
        return fail(tar, tar->has_begun ? "the tar is damaged" : "not a tar or tar.gz archive",
                    err);
    tar->has_begun = true;
    const char *path = archive_entry_pathname(header);
    entry->path = path ? path : "?";
    entry->is_file = archive_entry_filetype(header) == AE_IFREG &&
                     !archive_entry_hardlink(header) && archive_entry_sparse_count(header) == 0;
    entry->is_folder = archive_entry_filetype(header) == AE_IFDIR;
    entry->n_bytes = archive_entry_size(header);
    if (leads_outside(entry->path))
        return fx_fail(err, FX_EINPUT, "%s: %s: a path that leads out of the archive",
                       tar->input.name, entry->path);
    return FX_OK;
}

enum fx_status fx_tar_read(struct fx_tar *tar, const struct fx_tar_entry *entry, uint8_t **bytes,
                           size_t *n_bytes, struct fx_err *err)
{
    size_t cap = MEMBER_BYTES_FIRST, n = 0;
    uint8_t *buf = NULL;

    if (entry->n_bytes < 0 || entry->n_bytes > FX_TAR_MEMBER_BYTES_MAX)
        return fx_fail(err, FX_EINPUT,
                       "%s: %s: announces %" PRId64 " bytes, more than %" PRId64 " MiB",
                       tar->input.name, entry->path, entry->n_bytes, FX_TAR_MEMBER_BYTES_MAX >> 20);
    size_t n_wanted = (size_t)entry->n_bytes;
    for (;;) {
        cap = cap < n_wanted ? cap : n_wanted;
        uint8_t *grown = realloc(buf, cap > 0 ? cap : 1);
        if (!grown) {
            free(buf);
            return fx_fail(err, FX_EFAIL, "%s: %s: out of memory", tar->input.name, entry->path);
        }
        buf = grown;
        la_ssize_t got = archive_read_data(tar->reader, buf + n, cap - n);
        if (got < 0 || (size_t)got < cap - n) {
            free(buf);
            return fail(tar, entry->path, err);
        }
        n = cap;
        if (n == n_wanted)
            break;
        cap *= 2;
    }
    *bytes = buf;
    *n_bytes = n;
    return FX_OK;
}

void fx_tar_close(struct fx_tar *tar)
{
    archive_read_free(tar->reader);
    fx_gunzip_close(&tar->input);
    free(tar->block);
    *tar = (struct fx_tar){ 0 };
}
