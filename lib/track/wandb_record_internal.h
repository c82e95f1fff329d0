/* The records of a W&B transaction log, one function for each kind.
 * Source: wandb/proto/wandb_internal.proto; tests/track/wandb.proto has the part used here. */
#ifndef FX_TRACK_WANDB_RECORD_INTERNAL_H
#define FX_TRACK_WANDB_RECORD_INTERNAL_H

#include "track/wandb_log_internal.h"

#include <jansson.h>
#include <stdint.h>

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

#endif
