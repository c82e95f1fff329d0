/* Writing best.safetensors and last.safetensors (fusion-checkpoint(5)). */
#ifndef FX_RUN_SAVE_INTERNAL_H
#define FX_RUN_SAVE_INTERNAL_H

#include "config/settings.h"
#include "run/engine.h"
#include "run/rundir_internal.h"
#include "run/state.h"

#include <zlib.h>

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

/* Plain data, everything borrowed. */
struct fx_saver {
    const struct fx_rundir *rundir;
    struct fx_engine *engine;
    const struct fx_settings *settings;
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

#endif
