/* A trained model wherever it lies: a checkpoint, an experts stream, or a folder of components. */
#ifndef FX_CHECKPOINT_MODEL_SOURCE_H
#define FX_CHECKPOINT_MODEL_SOURCE_H

#include "net/graph.h"
#include "tensor/safetensors.h"

struct fx_model_source {
    const char *name;             /* borrowed: for messages */
    const struct fx_graph *graph; /* owned, in state; the model in evaluation */
    struct fx_tensor_set *set; /* owned, in state: its tensors, and the metadata of a checkpoint */
    fx_tensor_fetch fetch;     /* where a tensor has no data, with fetch_ctx */
    void *fetch_ctx;
    struct fx_model_state *state; /* owned */
};

/* fx_model_source_open: path is a file, a folder of ckpt-split, or "-" or NULL for stdin.  Names,
 * shapes, dtypes and values have been checked.  FX_EINPUT otherwise: "NAME: what: why".  Close it
 * also when this fails. */
enum fx_status fx_model_source_open(struct fx_model_source *source, const char *path,
                                    struct fx_err *err) FX_MUST_CHECK;
void fx_model_source_close(struct fx_model_source *source); /* accepts a zeroed record */

#endif
