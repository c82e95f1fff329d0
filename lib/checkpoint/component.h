/* Component files, .pth or safetensors, which hold a model or a part of it: opening them, and their
 * metadata about the model, in the file or in the .json that ckpt-split writes beside a .pth. */
#ifndef FX_CHECKPOINT_COMPONENT_H
#define FX_CHECKPOINT_COMPONENT_H

#include "base/kind.h"
#include "net/graph.h"
#include "tensor/safetensors.h"

#include <stdint.h>

/* fx_component_open: reads the file ("-" or NULL: stdin), .pth or safetensors by its bytes.
 * FX_EINPUT: "FILE: what: why", also where it is evidently something else than wanted.  Call
 * fx_tensor_file_close also after a failure. */
enum fx_status fx_component_open(struct fx_tensor_file *file, const char *path,
                                 enum fx_wanted wanted, struct fx_err *err) FX_MUST_CHECK;

/* fx_component_read_beside: takes into the metadata what ckpt-split wrote into FILE.json beside a
 * FILE.pth (component, arch, fusion, classes, ...); a .safetensors of it has that in itself.  A
 * .json that is damaged is ignored, with a warning; no .json, or one of somebody else, is none. */
enum fx_status fx_component_read_beside(struct fx_tensor_file *file,
                                        struct fx_err *err) FX_MUST_CHECK;

/* fx_component_expert: which expert of a model the metadata says it is ("component" is
 * "expert_backbones.2"): -1 when it says nothing, or is none. */
int fx_component_expert(const struct fx_tensor_file *file);

/* Several opened components; borrowed. */
struct fx_component_list {
    const struct fx_tensor_file *files;
    int n;
};

/* fx_facts_arch: the architecture of the experts, one or (they differ) one each joined by ';': what
 * the experts' own files say, else those of the whole model, the fusion module and the head.
 *   arch  out  n bytes; "" when no file says it
 * FX_EINPUT: two files contradict each other, and so below; the message names the option that
 * decides. */
enum fx_status fx_facts_arch(struct fx_component_list list, char *arch, size_t n,
                             struct fx_err *err) FX_MUST_CHECK;

/* fx_facts_fusion: what the file of the fusion module or of the whole model says; NULL when none
 * does.  Borrowed from the component. */
enum fx_status fx_facts_fusion(struct fx_component_list list, const char **fusion,
                               struct fx_err *err) FX_MUST_CHECK;

/* fx_facts_fused: the form of the fused logits, as the file of the head or of the whole model says;
 * NULL: none says it. */
enum fx_status fx_facts_fused(struct fx_component_list list, const char **fused,
                              struct fx_err *err) FX_MUST_CHECK;

/* fx_facts_classes, fx_facts_experts: the numbers; *value stays as it is when no file says one. */
enum fx_status fx_facts_classes(struct fx_component_list list, int64_t *value,
                                struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_facts_experts(struct fx_component_list list, int64_t *value,
                                struct fx_err *err) FX_MUST_CHECK;

/* fx_facts_put_agreed: what all files that mention a key agree on (epoch, names of the classes ...)
 * stays true of the whole: puts it into the set.  Any file may mention it; where they differ, or
 * none does, nothing is put. */
enum fx_status fx_facts_put_agreed(struct fx_component_list list, const char *key,
                                   struct fx_tensor_set *set, struct fx_err *err) FX_MUST_CHECK;
/* fx_facts_put_image_facts: the same for names of classes and normalisation, which are lists: a
 * scalar that a .pth file has under such a name is something else. */
enum fx_status fx_facts_put_image_facts(struct fx_component_list list, struct fx_tensor_set *set,
                                        struct fx_err *err) FX_MUST_CHECK;

/* One expert of a checkpoint as a file of its own. */

/* fx_export_expert: writes expert 0 of the checkpoint under its bare names (conv1.weight, ...), in
 * the order of its state_dict: as .pth when path ends so, as safetensors with the checkpoint's
 * metadata otherwise.  path "-" or NULL is stdout. */
enum fx_status fx_export_expert(const char *checkpoint, const struct fx_graph *graph,
                                const char *path, struct fx_err *err) FX_MUST_CHECK;

#endif
