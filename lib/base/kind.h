/* What a file is, told by its content: for the message when it is not what a tool reads.
 *
 * Readers find out by themselves that they cannot read something; only then is it looked at here,
 * so what can be read costs nothing.  kind.c has the table. */
#ifndef FX_BASE_KIND_H
#define FX_BASE_KIND_H

#include "base/io.h"

/* What a reader wants. */
enum fx_wanted {
    FX_WANTED_ARCHIVE,    /* of CIFAR */
    FX_WANTED_DATASET,    /* of cifar-prep */
    FX_WANTED_INDICES,    /* .npy */
    FX_WANTED_EXPERT,     /* one, as PyTorch or expert-train wrote it */
    FX_WANTED_TENSORS,    /* any tensors: .pth or safetensors */
    FX_WANTED_COMPONENTS, /* a model, or parts of one */
    FX_WANTED_EXPERTS,    /* the stream of expert-load */
    FX_WANTED_CHECKPOINT, /* or an experts stream */
    FX_WANTED_METRICS,
    FX_WANTED_PICTURE,
    FX_WANTED_RUNS, /* a directory */
    FX_N_WANTED
};

/* So many first bytes tell every kind. */
enum { FX_KIND_BYTES = 1 << 16 };

/* fx_kind_check: FX_OK when the content may be what is wanted, or nothing is known about it;
 * otherwise FX_EINPUT, "NAME: is a web page, not a data set; cifar-prep makes one of ...".
 *   bytes, n  the beginning of the content; n == 0: what stands under that name is looked at
 * err is left alone in the first case, so a reader that has failed calls it to say more. */
enum fx_status fx_kind_check(enum fx_wanted wanted, const char *name, const void *bytes, size_t n,
                             struct fx_err *err) FX_MUST_CHECK;

/* fx_kind_explain: after reading the input has failed with *err: as fx_kind_check.  Returns
 * err->status. */
enum fx_status fx_kind_explain(enum fx_wanted wanted, struct fx_input *in, struct fx_err *err);

#endif
