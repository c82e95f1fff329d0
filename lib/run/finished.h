/* Whether a run is finished, from its history alone: no checkpoint is read, last.safetensors may be
 * missing. */
#ifndef FX_RUN_FINISHED_H
#define FX_RUN_FINISHED_H

#include "config/settings.h"

struct fx_finished {
    bool was_finished;     /* the history ends with an end event, status done */
    bool is_finished;      /* and the settings ask for no more epochs or steps */
    int64_t epochs, steps; /* done */
    int64_t lines;         /* of the history */
    int64_t at_epoch;      /* of its last whole line; 0 where there is none */
};

/* fx_finished_look: reads DIR/history.jsonl; a missing one means that the run is not finished.
 *   settings  complete; a data_digest of NULL is not compared
 * FX_EUSAGE when the run is finished and was made with other settings: names the first one. */
enum fx_status fx_finished_look(struct fx_finished *found, const char *dir,
                                const struct fx_settings *settings,
                                struct fx_err *err) FX_MUST_CHECK;

/* fx_finished_precision: puts in the place of AUTO what the run in DIR has begun with, or what is
 * faster on the device where none has begun. */
enum fx_status fx_finished_precision(enum fx_precision *precision, const char *dir,
                                     const char *device, struct fx_err *err) FX_MUST_CHECK;

/* fx_finished_say: option --finished: logs the result.  FX_EFAIL when the run is not finished. */
enum fx_status fx_finished_say(const char *dir, const struct fx_settings *settings,
                               struct fx_err *err) FX_MUST_CHECK;

#endif
