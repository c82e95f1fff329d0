/* W&B's transaction log: the file run-ID.wandb, a LevelDB log of protobuf records.
 *
 *   byte 0     ":W&B", u16 0xBEE1, version 0: 7 bytes, part of the first block
 *   then       blocks of 32 KiB; in them chunks that never cross a block:
 *              u32 CRC-32 of type and data (zlib's, not LevelDB's) | u16 length | u8 type | data
 *              type 1 whole record, 2 first, 3 middle, 4 last part of one
 *   less than 7 bytes left in a block are zeros
 * Source: wandb/sdk/internal/datastore.py, core/pkg/leveldb/record.go. */
#ifndef FX_TRACK_WANDB_LOG_INTERNAL_H
#define FX_TRACK_WANDB_LOG_INTERNAL_H

#include "base/status.h"
#include "track/protobuf_internal.h"

struct fx_wandb_log {
    int fd;              /* owned; -1: not open */
    const char *path;    /* borrowed */
    uint64_t n_bytes;    /* in the file so far */
    int64_t n_records;   /* the next record's number is one more */
    struct fx_pb framed; /* the chunks of one record, reused */
};

/* fx_wandb_log_create: a new file with the header; one that exists already is a failure. */
enum fx_status fx_wandb_log_create(struct fx_wandb_log *log, const char *path,
                                   struct fx_err *err) FX_MUST_CHECK;

/* fx_wandb_log_append: one record, with one write, so that a reader that follows the file sees all
 * of it or nothing. */
enum fx_status fx_wandb_log_append(struct fx_wandb_log *log, const struct fx_pb *record,
                                   struct fx_err *err) FX_MUST_CHECK;
void fx_wandb_log_close(struct fx_wandb_log *log);

/* fx_wandb_log_next: the next record of a log in memory.
 *   at      in/out  where to read on; 0 at first
 *   record  out     its bytes; owned by the caller, reused
 * False at the end, and where the log is cut off or damaged. */
bool fx_wandb_log_next(const uint8_t *bytes, size_t n, size_t *at, struct fx_pb *record);

#endif
