/* The directory of a run: its files, and the lock that keeps a second process out. */
#ifndef FX_RUN_RUNDIR_INTERNAL_H
#define FX_RUN_RUNDIR_INTERNAL_H

#include "base/status.h"

#include <stdbool.h>

struct fx_rundir {
    char *dir;                  /* owned, as are the names below */
    char *best, *best_previous; /* best.safetensors, best.previous.safetensors */
    char *last, *last_previous; /* last.safetensors and the generation before */
    char *history, *clock;      /* history.jsonl; clock: seconds of the unfinished epoch */
    char *lock;                 /* lock: held while a process works here */
    int lock_fd;                /* owned; -1: not held */
    bool is_new;                /* made by fx_rundir_open */
};

/* fx_rundir_open: makes the directory, takes the lock and removes temporary files that a killed
 * process left.  FX_EFAIL when another process holds the lock; FX_EUSAGE when the directory holds a
 * run and resume is false.  *has_state says whether there is a checkpoint to resume from. */
enum fx_status fx_rundir_open(struct fx_rundir *rundir, const char *dir, bool resume,
                              bool *has_state, struct fx_err *err) FX_MUST_CHECK;
/* Gives the lock back.  A directory that holds nothing is left as it was found: without the lock,
 * and removed when fx_rundir_open made it.  Accepts a zeroed record. */
void fx_rundir_close(struct fx_rundir *rundir);

/* fx_rundir_keep: makes `older` name what `newer` names now, so that the rename that replaces
 * `newer` leaves its content reachable.  Nothing is done when there is no `newer`. */
enum fx_status fx_rundir_keep(const char *newer, const char *older,
                              struct fx_err *err) FX_MUST_CHECK;

/* Removes a generation that nobody needs any more; of `last`, when the run is finished. */
void fx_rundir_drop_best_previous(const struct fx_rundir *rundir);
void fx_rundir_drop_last_previous(const struct fx_rundir *rundir);

/* The seconds that an unfinished epoch has taken so far.  They are no part of the checkpoint, which
 * has the same bytes however often the run was stopped.  Kept for the same step only; 0 without. */
void fx_rundir_clock_write(const struct fx_rundir *rundir, long long step, double seconds);
double fx_rundir_clock_read(const struct fx_rundir *rundir, long long step);

#endif
