/* A file that holds a model or a part of it: .pth or safetensors, told apart by its bytes. */
#ifndef FX_CHECKPOINT_COMPONENT_H
#define FX_CHECKPOINT_COMPONENT_H

#include "base/kind.h"
#include "tensor/tensor.h"

struct fx_component {
    struct fx_input input;    /* owned */
    struct fx_tensor_set set; /* owned; borrows from input */
};

/* fx_component_open: reads the file ("-" or NULL: stdin) with fx_pth_read or fx_safetensors_parse.
 * FX_EINPUT: "FILE: what: why", also where it is evidently something else than wanted.  Call
 * fx_component_close also after a failure. */
enum fx_status fx_component_open(struct fx_component *component, const char *path,
                                 enum fx_wanted wanted, struct fx_err *err) FX_MUST_CHECK;

/* fx_component_read_beside: takes into the metadata what ckpt-split wrote into FILE.json beside a
 * FILE.pth (component, arch, fusion, classes, ...); a .safetensors of it has that in itself.  A
 * .json that is damaged is ignored, with a warning; no .json, or one of somebody else, is none. */
enum fx_status fx_component_read_beside(struct fx_component *component,
                                        struct fx_err *err) FX_MUST_CHECK;

/* fx_component_expert: which expert of a model the metadata says it is ("component" is
 * "expert_backbones.2"): -1 when it says nothing, or is none. */
int fx_component_expert(const struct fx_component *component);

void fx_component_close(struct fx_component *component); /* accepts a zeroed record */

#endif
