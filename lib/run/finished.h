/* Whether a run is finished, by its history alone: nothing is loaded, and last.safetensors may be
 * gone. */
#ifndef FX_RUN_FINISHED_H
#define FX_RUN_FINISHED_H

#include "config/settings.h"

struct fx_finished {
    bool was_finished;     /* the history ends with an end event, status done */
    bool is_finished;      /* and these settings want no more than that */
    int64_t epochs, steps; /* done */
    int64_t lines;         /* of the history */
    int64_t at_epoch;      /* of its last whole line; 0 where there is none */
};

/* fx_finished_look: reads DIR/history.jsonl; one that is not there is of no finished run.
 *   settings  complete; a data_digest of NULL is not compared
 * FX_EUSAGE when the run is finished and was made with other settings: names the first one. */
enum fx_status fx_finished_look(struct fx_finished *found, const char *dir,
                                const struct fx_settings *settings,
                                struct fx_err *err) FX_MUST_CHECK;

/* fx_finished_say: what --finished does.  FX_EFAIL when there is something left to do. */
enum fx_status fx_finished_say(const char *dir, const struct fx_settings *settings,
                               struct fx_err *err) FX_MUST_CHECK;

#endif
