/* PyTorch checkpoint files, read without executing anything and written so that every torch loads
 * them (also weights_only=True). */
#ifndef FX_ARCHIVE_PTH_H
#define FX_ARCHIVE_PTH_H

#include "base/io.h"
#include "tensor/tensor.h"

/* fx_pth_read: fills the set with every tensor found in the file (zip of torch >= 1.6 or the older
 * stream), in C order, in file order.  The usual wrappers (state_dict, model, ema ..., see
 * expert-load(1)) are unwrapped: only the state dict's tensors are returned; without a wrapper all
 * tensors are, under dotted paths.  The prefixes module., _module., _orig_mod. and model. are
 * stripped when all names carry them.  Scalars beside the state dict (epoch, acc, best_prec1 ...)
 * become metadata. The data borrows from `in` where it can and is owned by the set otherwise; it is
 * not always aligned to its dtype: copy it, do not cast it.  FX_EINPUT: "FILE: what: why". */
enum fx_status fx_pth_read(struct fx_tensor_set *set, const struct fx_input *in,
                           struct fx_err *err) FX_MUST_CHECK;

/* Whether the bytes look like a .pth this reader knows (zip or legacy stream). */
bool fx_pth_is_pth(const uint8_t *bytes, size_t n_bytes);

/* fx_pth_write: a bare state_dict (an OrderedDict of tensors) in the set's order, stored members,
 * 64-byte aligned payloads, fixed dates: the same set gives the same bytes.  Metadata is not
 * written. root is the zip's top directory ("expert_0_best"). */
enum fx_status fx_pth_write(const struct fx_tensor_set *set, int fd, const char *root,
                            const char *name, struct fx_err *err) FX_MUST_CHECK;

#endif
