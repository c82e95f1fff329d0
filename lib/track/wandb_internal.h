/* W&B's transaction log: the file run-ID.wandb, a LevelDB log of protobuf records.
 *
 *   byte 0     ":W&B", u16 0xBEE1, version 0: 7 bytes, part of the first block
 *   then       blocks of 32 KiB; in them chunks that never cross a block:
 *              u32 CRC-32 of type and data (zlib's, not LevelDB's) | u16 length | u8 type | data
 *              type 1 whole record, 2 first, 3 middle, 4 last part of one
 *   less than 7 bytes left in a block are zeros
 * Source: wandb/sdk/internal/datastore.py, core/pkg/leveldb/record.go. */
#ifndef FX_TRACK_WANDB_INTERNAL_H
#define FX_TRACK_WANDB_INTERNAL_H

#include "base/status.h"
#include "base/protobuf.h"
#include "track/wandb.h"

#include <jansson.h>
#include <stdint.h>

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

/* The records of a W&B transaction log, one function for each kind.
 * Source: wandb/proto/wandb_internal.proto; tests/track/wandb.proto has the part used here. */

/* What the run record says; texts are borrowed and may be NULL. */
struct fx_wandb_run {
    const char *id, *entity, *project, *group, *job_type, *name, *notes, *tags; /* tags: a,b,c */
    const char *host;
    const struct fx_pb *config; /* fx_wandb_items of the start event */
    int64_t starting_step;      /* of this part of a resumed run; 0 for a fresh one */
    int64_t start_seconds;      /* since 1970 */
};

/* fx_wandb_items: the members of an object as an update of a configuration or summary (the message
 * is the same); "event" is left out. */
void fx_wandb_items(struct fx_pb *message, const json_t *object);

/* Each appends one record to the log. */
enum fx_status fx_wandb_put_header(struct fx_wandb_log *log, struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_wandb_put_run(struct fx_wandb_log *log, const struct fx_wandb_run *run,
                                struct fx_err *err) FX_MUST_CHECK;
/* A row of values; it holds _step, _timestamp and _runtime itself, as syncing wants it. */
enum fx_status fx_wandb_put_history(struct fx_wandb_log *log, const json_t *row, int64_t step,
                                    struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_wandb_put_summary(struct fx_wandb_log *log, const json_t *values,
                                    struct fx_err *err) FX_MUST_CHECK;
/* The run was stopped and will go on. */
enum fx_status fx_wandb_put_preempting(struct fx_wandb_log *log, struct fx_err *err) FX_MUST_CHECK;
/* Exit, final and footer: the log is complete. */
enum fx_status fx_wandb_put_exit(struct fx_wandb_log *log, int code, int64_t runtime_seconds,
                                 struct fx_err *err) FX_MUST_CHECK;

/* What an earlier part of a run says: gathered over records with fx_wandb_look. */
struct fx_wandb_past {
    bool has_run, is_done; /* is_done: exit with code 0 */
    int64_t last_step;     /* of its rows; -1: none */
    struct fx_pb config;   /* owned: the configuration in its run record */
};
void fx_wandb_look(struct fx_wandb_past *past, const struct fx_pb *record);

/* Private to metrics-wandb: what a run is called at W&B, and where it lies. */

enum { FX_WANDB_TEXT_BYTES = 256 };

struct fx_wandb_identity {
    char id[FX_WANDB_TEXT_BYTES], project[FX_WANDB_TEXT_BYTES], name[FX_WANDB_TEXT_BYTES];
    char host[FX_WANDB_TEXT_BYTES];
};

/* fx_wandb_identify: from the options, else from the start event: the id is a digest of its line,
 * so that a resumed run, which repeats that line, keeps it; the project is that of the family;
 * the name is the task, or what is trained. */
enum fx_status fx_wandb_identify(struct fx_wandb_identity *identity,
                                 const struct fx_wandb_options *options, const json_t *start,
                                 const char *start_line, struct fx_err *err) FX_MUST_CHECK;

/* fx_wandb_find_past: gathers what earlier folders dir/wandb/offline-run-*-ID hold.
 *   run_dir  out  the latest of them, malloc'ed for the caller; NULL: none */
enum fx_status fx_wandb_find_past(const char *dir, const char *id, struct fx_wandb_past *past,
                                  char **run_dir, struct fx_err *err) FX_MUST_CHECK;

/* fx_wandb_make_dir: makes dir/wandb/offline-run-DATE_TIME-ID with files/ and logs/, for the first
 * second from now on that is free, and points dir/wandb/latest-run to it. */
enum fx_status fx_wandb_make_dir(const char *dir, const char *id, char **run_dir,
                                 struct fx_err *err) FX_MUST_CHECK;

#endif
