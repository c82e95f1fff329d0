/* safetensors: the format of every binary stream (data set, experts, checkpoints, logits).
 * Format and rules: fusion-checkpoint(5); huggingface/safetensors README, "Format". */
#ifndef FX_TENSOR_SAFETENSORS_H
#define FX_TENSOR_SAFETENSORS_H

#include "base/io.h"
#include "tensor/tensor.h"

/* fx_safetensors_parse: fills the set from n bytes in memory, enforcing all ten rules of the
 * reference reader (FX_EINPUT names the rule and the tensor).  Tensor data points into `bytes`,
 * which must outlive the set.  `name` is the file's name for messages. */
enum fx_status fx_safetensors_parse(struct fx_tensor_set *set, const uint8_t *bytes, size_t n_bytes,
                                    const char *name, struct fx_err *err) FX_MUST_CHECK;

/* An open file or stream of tensors. */
struct fx_tensor_file {
    struct fx_input input;    /* owned */
    struct fx_tensor_set set; /* owned; its data lies in input */
};

/* fx_tensor_file_read: opens path ("-" or NULL: stdin) and parses it as safetensors.  A regular
 * file is mapped, a stream read into memory; memory grows with what arrives, whatever the header
 * announces.  The stream must end where the header says.  A terminal as stdin is FX_EUSAGE.  Close
 * it also when this fails. */
enum fx_status fx_tensor_file_read(struct fx_tensor_file *file, const char *path,
                                   struct fx_err *err) FX_MUST_CHECK;
void fx_tensor_file_close(struct fx_tensor_file *file); /* accepts a zeroed or closed record */

/* Produces the bytes of tensor i for a set whose tensor has !data. */
typedef enum fx_status (*fx_tensor_fetch)(void *ctx, const struct fx_tensor *tensor, void *buf,
                                          struct fx_err *err);

/* fx_safetensors_write: writes the set to fd in the canonical order (dtype alignment descending,
 * then name) with a compact header padded to 8 bytes and {"format":"pt"} in the metadata; byte for
 * byte what the reference writer makes of the same tensors and metadata (metadata keys sorted).
 * fetch may be NULL when every tensor has data. */
enum fx_status fx_safetensors_write(const struct fx_tensor_set *set, int fd, const char *name,
                                    fx_tensor_fetch fetch, void *ctx,
                                    struct fx_err *err) FX_MUST_CHECK;

#endif
