/* Reading last.safetensors and best.safetensors back. */
#ifndef FX_RUN_RESTORE_INTERNAL_H
#define FX_RUN_RESTORE_INTERNAL_H

#include "run/save_internal.h"

#include "tensor/safetensors.h"

/* A checkpoint to resume from: the file stays open until the engine has its tensors. */
struct fx_restored {
    struct fx_tensor_file file; /* owned */
    struct fx_state state;
    json_t *settings; /* owned; what the run was started with */
};

/* fx_restore_last: reads last.safetensors, verified by its checksum; when it is damaged or gone,
 * says so and reads the generation before.  FX_EINPUT when that is damaged as well. */
enum fx_status fx_restore_last(struct fx_restored *restored, const struct fx_rundir *rundir,
                               struct fx_err *err) FX_MUST_CHECK;
void fx_restored_close(struct fx_restored *restored); /* accepts a zeroed record */

/* fx_restore_engine: parameters, statistics and optimizer state into the engine. */
enum fx_status fx_restore_engine(struct fx_engine *engine, const struct fx_restored *restored,
                                 bool sgd, struct fx_err *err) FX_MUST_CHECK;

/* fx_restore_best_file: makes best.safetensors the file that the state means: it may be one
 * generation ahead after a kill.  FX_EINPUT when it is damaged and cannot be had back. */
enum fx_status fx_restore_best_file(struct fx_saver *saver, struct fx_state *state,
                                    struct fx_err *err) FX_MUST_CHECK;

/* fx_restore_best: the parameters of best.safetensors into the engine, verified by crc. */
enum fx_status fx_restore_best(struct fx_engine *engine, const struct fx_rundir *rundir,
                               const struct fx_best *best, struct fx_err *err) FX_MUST_CHECK;

#endif
