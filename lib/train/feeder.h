/* The batches of a training epoch: while a step computes, a thread prepares the next batch. */
#ifndef FX_TRAIN_FEEDER_H
#define FX_TRAIN_FEEDER_H

#include "backend/backend.h"

struct fx_feeder;

struct fx_feeder_options {
    const struct fx_dataset *dataset; /* borrowed */
    struct fx_index_list images;      /* borrowed: the numbers to train on, sorted */
    struct fx_augment_config augment;
    int batch;         /* images of a full batch */
    bool needs_pixels; /* false: the back end applies the rows itself */
};

/* fx_feeder_create: allocates everything and starts the thread. */
enum fx_status fx_feeder_create(struct fx_feeder **feeder, const struct fx_feeder_options *options,
                                struct fx_err *err) FX_MUST_CHECK;
void fx_feeder_destroy(struct fx_feeder *feeder); /* accepts NULL */

/* The bytes that fx_feeder_create allocates. */
size_t fx_feeder_bytes(const struct fx_feeder_options *options);

/* Batches of an epoch; the last one may be partial. */
int64_t fx_feeder_n_batches(const struct fx_feeder *feeder);

/* fx_feeder_begin: decides epoch `epoch` (from 1) and starts at batch `first` (from 0). */
void fx_feeder_begin(struct fx_feeder *feeder, uint32_t epoch, int64_t first);

/* fx_feeder_next: the next batch of the epoch, a pure function of (options, epoch, number).  What
 * *batch points to stays valid until the next call. */
void fx_feeder_next(struct fx_feeder *feeder, struct fx_batch *batch);

#endif
