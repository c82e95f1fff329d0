/* history.jsonl: the metrics of a run as far as its state goes, and the stream on stdout (or in the
 * file of -o), which gets the same. */
#ifndef FX_RUN_HISTORY_INTERNAL_H
#define FX_RUN_HISTORY_INTERNAL_H

#include "base/io.h"

#include <stdint.h>

struct fx_history {
    int fd;                      /* owned; -1: not open */
    const struct fx_output *out; /* borrowed: stdout, or the file in its place */
    const char *path;            /* borrowed */
    int64_t n_lines;             /* recorded so far */
};

/* fx_history_start: an empty history for a fresh run. */
enum fx_status fx_history_start(struct fx_history *history, const char *path,
                                const struct fx_output *out, struct fx_err *err) FX_MUST_CHECK;

/* Called for each replayed line (without its newline). */
typedef void (*fx_history_visit)(void *ctx, const char *line);

/* fx_history_resume: opens the history of a stopped run, keeps its first n_lines lines - or all of
 * them when the last is an end event with status done and keep_end is set (*ended says so) - cuts
 * off the rest and writes what is kept to `out`.  FX_EINPUT when there are fewer lines. */
enum fx_status fx_history_resume(struct fx_history *history, const char *path,
                                 const struct fx_output *out, int64_t n_lines, bool keep_end,
                                 bool *ended, fx_history_visit visit, void *ctx,
                                 struct fx_err *err) FX_MUST_CHECK;

/* fx_history_record: to the file only; text is one line with its newline. */
enum fx_status fx_history_record(struct fx_history *history, const char *text,
                                 struct fx_err *err) FX_MUST_CHECK;

/* fx_history_say: to the stream only.  FX_ESTOPPED when the consumer is gone. */
enum fx_status fx_history_say(const struct fx_history *history, const char *text,
                              struct fx_err *err) FX_MUST_CHECK;

/* fx_history_listener_is_gone: the stream is a pipe that nobody reads any more. */
bool fx_history_listener_is_gone(const struct fx_history *history);

/* fx_history_sync: what was recorded is on the disk; before a checkpoint counts on it. */
enum fx_status fx_history_sync(struct fx_history *history, struct fx_err *err) FX_MUST_CHECK;

void fx_history_close(struct fx_history *history);

#endif
