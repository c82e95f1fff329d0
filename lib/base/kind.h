/* Recognises the type of a file by its content, for the error message when a tool cannot read it.
 *
 * It is called only after a reader has failed, so readable files cost nothing.  The table is in
 * kind.c. */
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

/* The first bytes that identify every kind. */
enum { FX_KIND_BYTES = 1 << 16 };

/* fx_kind_check: FX_OK when the content may be what is wanted, or nothing is known about it;
 * otherwise FX_EINPUT, "NAME: is a web page, not a data set; cifar-prep makes one of ...".
 *   bytes, n  the beginning of the content; n == 0: the file of that name is examined
 * After FX_OK err is unchanged, so a reader that has failed keeps its own message. */
enum fx_status fx_kind_check(enum fx_wanted wanted, const char *name, const void *bytes, size_t n,
                             struct fx_err *err) FX_MUST_CHECK;

/* fx_kind_explain: after reading the input has failed with *err: as fx_kind_check.  Returns
 * err->status. */
enum fx_status fx_kind_explain(enum fx_wanted wanted, struct fx_input *in, struct fx_err *err);

#endif
