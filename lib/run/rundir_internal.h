/* The directory of a run: its files, the lock that keeps a second process out (rundir.c), and the
 * checkpoints that are written there (save.c) and read back (restore.c). */
#ifndef FX_RUN_RUNDIR_INTERNAL_H
#define FX_RUN_RUNDIR_INTERNAL_H

#include "base/status.h"
#include "config/settings.h"
#include "data/dataset.h"
#include "run/engine.h"
#include "run/state.h"
#include "tensor/safetensors.h"

#include <stdbool.h>
#include <zlib.h>

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
 * run and resume is false; FX_EINPUT when a file of it is none, but a link.  *has_state says
 * whether there is a checkpoint to resume from. */
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

/* ---- save: writing best.safetensors and last.safetensors (fusion-checkpoint(5)) ---- */

/* The checksum of a checkpoint: CRC-32 of the tensors in file order (name, dtype, shape, bytes),
 * combined with one of each metadata pair, so that a torn or altered file is noticed. */
struct fx_checksum {
    uint32_t tensors, meta;
};
void fx_checksum_add(struct fx_checksum *sum, const struct fx_tensor *tensor, const void *bytes);
void fx_checksum_add_meta(struct fx_checksum *sum, const char *key, const char *value);

/* Names of the tensors that only last.safetensors has.  The checksum's name is the last in file
 * order, so it is written when everything before it has been. */
#define FX_STATE_TENSOR "train.state"
#define FX_CHECKSUM_TENSOR "train.state_crc32"
#define FX_EXP_AVG_PREFIX "optimizer.exp_avg."
#define FX_EXP_AVG_SQ_PREFIX "optimizer.exp_avg_sq."
#define FX_AVERAGE_PREFIX "optimizer.average."

/* Plain data, everything borrowed. */
struct fx_saver {
    const struct fx_rundir *rundir;
    struct fx_engine *engine;
    const struct fx_settings *settings;
    const struct fx_dataset *dataset;
    int64_t best_epoch_on_disk; /* of the newest last.safetensors */
};

/* fx_save_best: the parameters as they are, described by state->best, whose crc it fills.  The file
 * before stays as best.previous.safetensors until both generations of `last` know the new one. */
enum fx_status fx_save_best(struct fx_saver *saver, struct fx_state *state,
                            struct fx_err *err) FX_MUST_CHECK;

/* fx_save_last: parameters, optimizer state and `state`; the file before becomes
 * last.previous.safetensors. */
enum fx_status fx_save_last(struct fx_saver *saver, const struct fx_state *state,
                            struct fx_err *err) FX_MUST_CHECK;

/* ---- restore: reading last.safetensors and best.safetensors back ---- */

/* A checkpoint to resume from: the file stays open until the engine has its tensors. */
struct fx_restored {
    struct fx_tensor_file file; /* owned */
    struct fx_state state;
    json_t *settings; /* owned; what the run was started with */
};

/* fx_checksum_of: the checksum over everything before its own tensor, `stored`. */
uint32_t fx_checksum_of(const struct fx_tensor_set *set, const struct fx_tensor *stored);

/* fx_restore_last: reads last.safetensors, verified by its checksum; when it is damaged or gone,
 * says so and reads the generation before.  FX_EINPUT when that is damaged as well. */
enum fx_status fx_restore_last(struct fx_restored *restored, const struct fx_rundir *rundir,
                               struct fx_err *err) FX_MUST_CHECK;
void fx_restored_close(struct fx_restored *restored); /* accepts a zeroed record */

/* fx_restore_engine: parameters, statistics and optimizer state into the engine. */
enum fx_status fx_restore_engine(struct fx_engine *engine, const struct fx_restored *restored,
                                 bool sgd, struct fx_err *err) FX_MUST_CHECK;

/* fx_restore_best_is_meant: whether best.safetensors is whole and the one that `best` describes. */
bool fx_restore_best_is_meant(const struct fx_rundir *rundir, const struct fx_best *best);

/* fx_restore_best_file: makes best.safetensors the file that the state means: it may be one
 * generation ahead after a kill.  FX_EINPUT when it is damaged and cannot be had back. */
enum fx_status fx_restore_best_file(struct fx_saver *saver, struct fx_state *state,
                                    struct fx_err *err) FX_MUST_CHECK;

/* fx_restore_best: the parameters of best.safetensors into the engine, verified by crc. */
enum fx_status fx_restore_best(struct fx_engine *engine, const struct fx_rundir *rundir,
                               const struct fx_best *best, struct fx_err *err) FX_MUST_CHECK;

#endif
