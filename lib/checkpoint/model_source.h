/* Reads a trained model from a checkpoint, an experts stream or a folder of components. */
#ifndef FX_CHECKPOINT_MODEL_SOURCE_H
#define FX_CHECKPOINT_MODEL_SOURCE_H

#include "net/graph.h"
#include "tensor/safetensors.h"

struct fx_model_source {
    const char *name;             /* borrowed: for messages */
    const struct fx_graph *graph; /* owned by state; built for evaluation */
    struct fx_tensor_set *set;    /* owned by state: tensors and metadata, as in a checkpoint */
    fx_tensor_fetch fetch;        /* for tensors without data; called with fetch_ctx */
    void *fetch_ctx;
    struct fx_model_state *state; /* owned */
};

/* fx_model_source_open: path is a file, a folder of ckpt-split, or "-" or NULL for stdin.  Checks
 * names, shapes, dtypes and that values are finite; FX_EINPUT otherwise: "NAME: what: why".  Close
 * it also after a failure. */
enum fx_status fx_model_source_open(struct fx_model_source *source, const char *path,
                                    struct fx_err *err) FX_MUST_CHECK;
void fx_model_source_close(struct fx_model_source *source); /* accepts a zeroed record */

/* fx_model_source_forget: closes the files when the tensors are not needed any more; graph and
 * metadata stay. */
void fx_model_source_forget(struct fx_model_source *source);
/* Bytes of the files that are in memory, not mapped. */
size_t fx_model_source_bytes(const struct fx_model_source *source);

#endif
