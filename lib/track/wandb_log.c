/* Chunks and blocks, written and read. */
#include "track/wandb_internal.h"

#include "base/io.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { BLOCK_BYTES = 32768, CHUNK_HEAD_BYTES = 7, HEAD_BYTES = 7 };
enum { WHOLE = 1, FIRST = 2, MIDDLE = 3, LAST = 4 };
static const uint8_t head[HEAD_BYTES] = { ':', 'W', '&', 'B', 0xE1, 0xBE, 0 };

static size_t left_in_block(uint64_t at)
{
    return BLOCK_BYTES - (size_t)(at % BLOCK_BYTES);
}

static uint32_t checksum(uint8_t type, const uint8_t *data, size_t n)
{
    return (uint32_t)crc32_z(crc32_z(0, &type, 1), data, n);
}

/* ---- writing --------------------------------------------------------------------------------- */

enum fx_status fx_wandb_log_create(struct fx_wandb_log *log, const char *path, struct fx_err *err)
{
    *log = (struct fx_wandb_log){ .path = path, .n_bytes = HEAD_BYTES };
    log->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
    if (log->fd < 0)
        return fx_fail_errno(err, "%s", path);
    return fx_write_full(log->fd, head, sizeof head, path, err);
}

static void put_chunk(struct fx_pb *out, uint8_t type, const uint8_t *data, size_t n)
{
    uint32_t crc = checksum(type, data, n);
    uint8_t chunk[CHUNK_HEAD_BYTES] = { (uint8_t)crc,
                                        (uint8_t)(crc >> 8),
                                        (uint8_t)(crc >> 16),
                                        (uint8_t)(crc >> 24),
                                        (uint8_t)n,
                                        (uint8_t)(n >> 8),
                                        type };

    fx_pb_raw(out, chunk, sizeof chunk);
    fx_pb_raw(out, data, n);
}

enum fx_status fx_wandb_log_append(struct fx_wandb_log *log, const struct fx_pb *record,
                                   struct fx_err *err)
{
    static const uint8_t zeros[CHUNK_HEAD_BYTES];
    struct fx_pb *out = &log->framed;
    size_t done = 0;
    bool is_first = true; /* the first chunk may be empty */

    fx_pb_clear(out);
    out->failed |= record->failed;
    do {
        size_t left = left_in_block(log->n_bytes + out->n);
        if (left < CHUNK_HEAD_BYTES) {
            fx_pb_raw(out, zeros, left);
            left = BLOCK_BYTES;
        }
        size_t rest = record->n - done, n = left - CHUNK_HEAD_BYTES;
        bool is_last = rest <= n;
        n = is_last ? rest : n;
        uint8_t type = is_first ? (is_last ? WHOLE : FIRST) : (is_last ? LAST : MIDDLE);
        put_chunk(out, type, record->bytes + done, n);
        is_first = false;
        done += n;
    } while (done < record->n && !out->failed);
    if (out->failed)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", log->path);
    FX_TRY(fx_write_full(log->fd, out->bytes, out->n, log->path, err));
    log->n_bytes += out->n;
    log->n_records++;
    return FX_OK;
}

void fx_wandb_log_close(struct fx_wandb_log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
    fx_pb_fini(&log->framed);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* One chunk at *at; false where there is no whole and sound one. */
static bool next_chunk(const uint8_t *bytes, size_t n, size_t *at, uint8_t *type,
                       struct fx_pb_view *data)
{
    if (left_in_block(*at) < CHUNK_HEAD_BYTES)
        *at += left_in_block(*at);
    if (*at > n || n - *at < CHUNK_HEAD_BYTES)
        return false;
    const uint8_t *chunk = bytes + *at;
    uint32_t crc = (uint32_t)chunk[0] | (uint32_t)chunk[1] << 8 | (uint32_t)chunk[2] << 16 |
                   (uint32_t)chunk[3] << 24;
    size_t length = (size_t)chunk[4] | (size_t)chunk[5] << 8;
    *type = chunk[6];
    if (*type < WHOLE || *type > LAST || length > n - *at - CHUNK_HEAD_BYTES)
        return false;
    *data = (struct fx_pb_view){ chunk + CHUNK_HEAD_BYTES, length };
    *at += CHUNK_HEAD_BYTES + length;
    return checksum(*type, data->bytes, length) == crc;
}

bool fx_wandb_log_next(const uint8_t *bytes, size_t n, size_t *at, struct fx_pb *record)
{
    struct fx_pb_view data;
    uint8_t type;

    if (*at == 0) {
        if (n < HEAD_BYTES || memcmp(bytes, head, HEAD_BYTES) != 0)
            return false;
        *at = HEAD_BYTES;
    }
    fx_pb_clear(record);
    bool is_begun = false;
    do {
        if (!next_chunk(bytes, n, at, &type, &data))
            return false;
        if ((type == WHOLE || type == FIRST) == is_begun)
            return false;
        is_begun = true;
        fx_pb_raw(record, data.bytes, data.n);
    } while (type == FIRST || type == MIDDLE);
    return !record->failed;
}
