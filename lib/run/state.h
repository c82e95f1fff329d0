/* The progress of a run: what last.safetensors has besides the tensors. */
#ifndef FX_RUN_STATE_H
#define FX_RUN_STATE_H

#include "base/status.h"

#include <jansson.h>
#include <stdint.h>

/* Sums over the training images of the epoch so far, as they were augmented. */
struct fx_epoch_sums {
    int64_t n_images;
    double total, fused, individual; /* losses; individual is the plain sum over experts */
    double correct;                  /* correct images, weighted by lam where they are mixed */
};

/* The checkpoint in best.safetensors. */
struct fx_best {
    int64_t epoch; /* 0: none */
    int64_t step;
    double accuracy; /* val_accuracy */
    int64_t crc;     /* CRC-32 of its tensors, which identifies the file */
};

struct fx_state {
    int64_t epoch;       /* in progress, from 1 */
    int64_t batch;       /* its next micro-batch, from 0 */
    int64_t step;        /* optimiser steps done */
    int64_t epochs_done; /* finished epochs, validation included */
    double val_accuracy; /* of the last finished epoch */
    struct fx_epoch_sums sums;
    struct fx_best best;
    int64_t history_lines; /* of history.jsonl that belong to this state */
};

/* fx_state_json: a new object (owned by the caller), NULL when out of memory.  Real numbers read
 * back exactly. */
json_t *fx_state_json(const struct fx_state *state);

/* fx_state_parse: FX_EINPUT when a member is missing or impossible. */
enum fx_status fx_state_parse(struct fx_state *state, const json_t *object,
                              struct fx_err *err) FX_MUST_CHECK;

#endif
