/* A checkpoint or experts stream, opened: the tensors and what the metadata says of the model. */
#ifndef FX_CHECKPOINT_STREAM_H
#define FX_CHECKPOINT_STREAM_H

#include "base/kind.h"
#include "checkpoint/checkpoint.h"
#include "tensor/tensor.h"

struct fx_stream {
    struct fx_input input;    /* owned */
    struct fx_tensor_set set; /* owned */
};

/* fx_stream_open: reads path ("-" or NULL: stdin) and its metadata; info borrows from the stream.
 * wanted is FX_WANTED_EXPERTS or FX_WANTED_CHECKPOINT.  FX_EINPUT: "FILE: what: why".  Call
 * fx_stream_close also after a failure. */
enum fx_status fx_stream_open(struct fx_stream *stream, const char *path, enum fx_wanted wanted,
                              struct fx_checkpoint_info *info, struct fx_err *err) FX_MUST_CHECK;
void fx_stream_close(struct fx_stream *stream); /* accepts a zeroed or closed record */

#endif
