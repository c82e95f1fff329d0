/* The runs below a directory and their state, for fusion-top and runs-report.
 *
 * A run is a folder with history.jsonl (fusion-train's own) or metrics.jsonl.  Nothing is written
 * and no trainer is disturbed; a file may grow while it is read. */
#ifndef FX_TRACK_RUNS_H
#define FX_TRACK_RUNS_H

#include "base/status.h"
#include "track/events.h"

#include <sys/stat.h>

enum fx_run_state {
    FX_RUN_RUNNING, /* no end event, and a process holds the run's lock */
    FX_RUN_DONE,
    FX_RUN_STOPPED,
    FX_RUN_DIVERGED,
    FX_RUN_FAILED,
    FX_RUN_DEAD,   /* no end event, and no process holds the lock */
    FX_RUN_BROKEN, /* not a metrics stream, or it cannot be read */
};
const char *fx_run_state_name(enum fx_run_state state); /* "running", ... */

struct fx_run {
    char *dir, *file; /* owned */
    const char *name; /* in dir: its end below the directory that was searched */
    struct timespec changed;
    off_t n_bytes;
    enum fx_run_state state;
    struct fx_err why; /* of FX_RUN_BROKEN: FX_EINPUT, or FX_EFAIL where it cannot be read */
    int n_experts;
    /* owned; NULL: no such event (before: the measurement before training) */
    json_t *start, *before, *step, *eval, *end;
    json_t *epochs;  /* owned: the epoch events in their order */
    json_t *details; /* owned: the other events of fusion-eval, in their order */
};

struct fx_runs {
    struct fx_run *run; /* owned, by name */
    size_t n, cap;
};

/* fx_run_file: the metrics file of a run: `path` itself, or that in the folder `path`; owned by the
 * caller.  FX_EINPUT: a folder that has none. */
enum fx_status fx_run_file(const char *path, char **file, struct fx_err *err) FX_MUST_CHECK;
/* fx_run_name: what a run is called by the name of its metrics file: "runs/a/metrics.jsonl" is
 * "runs/a", "a.jsonl" stays; owned by the caller, NULL when memory is short. */
char *fx_run_name(const char *file);

/* fx_runs_scan: finds the runs below dir, not following symbolic links, and reads them; those that
 * have not changed since the scan before, whose result `runs` holds, are kept as they are.
 * FX_EFAIL: dir cannot be read; one run that cannot is FX_RUN_BROKEN. */
enum fx_status fx_runs_scan(struct fx_runs *runs, const char *dir,
                            struct fx_err *err) FX_MUST_CHECK;
void fx_runs_fini(struct fx_runs *runs);

#endif
