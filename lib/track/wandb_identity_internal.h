/* Private to metrics-wandb: what a run is called at W&B, and where it lies. */
#ifndef FX_TRACK_WANDB_IDENTITY_INTERNAL_H
#define FX_TRACK_WANDB_IDENTITY_INTERNAL_H

#include "track/wandb.h"
#include "track/wandb_record_internal.h"

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
