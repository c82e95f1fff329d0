/* The batches of a training epoch: while a step computes, a thread prepares the next batch. */
#ifndef FX_RUN_DATA_LOADER_INTERNAL_H
#define FX_RUN_DATA_LOADER_INTERNAL_H

#include "backend/backend.h"

struct fx_data_loader;

struct fx_data_loader_options {
    const struct fx_dataset *dataset; /* borrowed */
    struct fx_index_list images;      /* borrowed: the numbers to train on, sorted */
    struct fx_augment_config augment;
    int batch;         /* images of a full batch */
    bool needs_pixels; /* false: the back end applies the rows itself */
};

/* fx_data_loader_create: allocates everything and starts the thread. */
enum fx_status fx_data_loader_create(struct fx_data_loader **loader,
                                     const struct fx_data_loader_options *options,
                                     struct fx_err *err) FX_MUST_CHECK;
void fx_data_loader_destroy(struct fx_data_loader *loader); /* accepts NULL */

/* The bytes that fx_data_loader_create allocates. */
size_t fx_data_loader_bytes(const struct fx_data_loader_options *options);

/* Batches of an epoch; the last one may be partial. */
int64_t fx_data_loader_n_batches(const struct fx_data_loader *loader);

/* fx_data_loader_begin: decides epoch `epoch` (from 1) and starts at batch `first` (from 0). */
void fx_data_loader_begin(struct fx_data_loader *loader, uint32_t epoch, int64_t first);

/* fx_data_loader_next: the next batch of the epoch, a pure function of (options, epoch, number).
 * What *batch points to stays valid until the next call. */
void fx_data_loader_next(struct fx_data_loader *loader, struct fx_batch *batch);

#endif
