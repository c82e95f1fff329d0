/* Opening what fusion-train, fusion-eval and ckpt-split read. */
#include "checkpoint/stream.h"

#include "tensor/safetensors.h"

/* Components have the same metadata; their tensors would only be compared in vain. */
static enum fx_status read_info(struct fx_stream *stream, enum fx_wanted wanted,
                                struct fx_checkpoint_info *info, struct fx_err *err)
{
    const struct fx_input *in = &stream->input;

    FX_TRY(fx_kind_check(wanted, in->name, in->bytes, in->n_bytes, err));
    if (fx_checkpoint_info_get(&stream->set, info, err) != FX_OK)
        return fx_err_prepend(err, "%s: ", in->name);
    return FX_OK;
}

enum fx_status fx_stream_open(struct fx_stream *stream, const char *path, enum fx_wanted wanted,
                              struct fx_checkpoint_info *info, struct fx_err *err)
{
    enum fx_status status = fx_safetensors_read(&stream->set, &stream->input, path, err);

    if (status == FX_OK)
        status = read_info(stream, wanted, info, err);
    return status == FX_OK ? FX_OK : fx_kind_explain(wanted, &stream->input, err);
}

void fx_stream_close(struct fx_stream *stream)
{
    fx_tensor_set_fini(&stream->set);
    fx_input_close(&stream->input);
    *stream = (struct fx_stream){ 0 };
}
