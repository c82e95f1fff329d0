/* A metrics stream as an offline run of Weights & Biases: what metrics-wandb does. */
#ifndef FX_TRACK_WANDB_H
#define FX_TRACK_WANDB_H

#include "base/status.h"

#include <stdbool.h>
#include <stdio.h>

/* Texts are borrowed; NULL: the default in metrics-wandb(1), or nothing. */
struct fx_wandb_options {
    const char *dir; /* the run goes below DIR/wandb */
    const char *project, *entity, *name, *group, *tags, *run_id, *job_type, *notes;
    bool is_disabled; /* write nothing, only pass the stream on */
};

/* fx_wandb: reads events from `in` and writes, below dir/wandb, the folder
 * offline-run-DATE_TIME-ID with the log run-ID.wandb, record by record while events arrive.  Rows
 * that earlier folders of the same run hold already are left out; with none missing no folder is
 * made.
 *   pass_fd  every line is written here too once it is in the log; -1: nowhere
 *   run_dir  out  the folder with the end of the run; malloc'ed for the caller, also on failure;
 *            NULL where there is none
 * FX_EUSAGE: a project or run id that W&B does not take, a run id of another run.  FX_EINPUT as
 * fx_events_next; the log then ends with the last event before, without an exit record. */
enum fx_status fx_wandb(FILE *in, const char *in_name, const struct fx_wandb_options *options,
                        int pass_fd, char **run_dir, struct fx_err *err) FX_MUST_CHECK;

#endif
