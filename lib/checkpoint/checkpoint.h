/* Checkpoints and experts streams: tensors by the original's names, metadata as strings
 * (fusion-checkpoint(5)). */
#ifndef FX_CHECKPOINT_CHECKPOINT_H
#define FX_CHECKPOINT_CHECKPOINT_H

#include "base/kind.h"
#include "net/model.h"
#include "tensor/safetensors.h"

/* The dtype in which files hold a parameter. */
static inline enum fx_dtype fx_param_dtype(const struct fx_param *param)
{
    return param->kind == FX_PARAM_COUNTER ? FX_I64 : FX_F32;
}

/* Whether a tensor has the shape of the parameter. */
bool fx_param_fits(const struct fx_param *param, const struct fx_tensor *tensor);

/* What the metadata of a checkpoint or experts stream says about the model; strings borrowed from
 * the set. */
struct fx_checkpoint_info {
    const char *arch;   /* "resnet18:width=16", or one per expert separated by ';' */
    const char *fusion; /* NULL in an experts stream */
    enum fx_fused_form fused;
    int n_experts;
    int n_classes;
};

/* fx_checkpoint_open: reads path ("-" or NULL: stdin) and its metadata: the keys arch,
 * fusion, fused, experts and classes; info borrows from the file.  wanted is FX_WANTED_EXPERTS or
 * FX_WANTED_CHECKPOINT.  FX_EINPUT: "FILE: what: why".  Call fx_tensor_file_close also after a
 * failure. */
enum fx_status fx_checkpoint_open(struct fx_tensor_file *file, const char *path,
                                  enum fx_wanted wanted, struct fx_checkpoint_info *info,
                                  struct fx_err *err) FX_MUST_CHECK;

/* fx_fused_form_parse: the value of the metadata key fused; NULL, where there is none: the head's
 * logits alone, as models were before there was another form.  FX_EINPUT names an unknown one. */
enum fx_status fx_fused_form_parse(const char *text, enum fx_fused_form *form,
                                   struct fx_err *err) FX_MUST_CHECK;

/* fx_checkpoint_build: fx_model_build of what the metadata names; what is wrong with that is wrong
 * with the input (FX_EINPUT). */
enum fx_status fx_checkpoint_build(struct fx_graph *graph, const struct fx_model_config *config,
                                   struct fx_err *err) FX_MUST_CHECK;

/* fx_checkpoint_check: compares names, shapes and dtypes of the set with the graph and reports all
 * differences: the first in err, FX_EINPUT; when there are several, each as one line on the log.
 * Tensors named optimizer.* and train.* are ignored.  need_fusion = false lets fusion_module.* and
 * global_head.* be absent (all of them or none). */
enum fx_status fx_checkpoint_check(const struct fx_tensor_set *set, const struct fx_graph *graph,
                                   bool need_fusion, struct fx_err *err) FX_MUST_CHECK;

/* fx_checkpoint_check_values: the parameters that the set has must be finite numbers; FX_EINPUT and
 * reports otherwise as fx_checkpoint_check does, which must have passed. */
enum fx_status fx_checkpoint_check_values(const struct fx_tensor_set *set,
                                          const struct fx_graph *graph,
                                          struct fx_err *err) FX_MUST_CHECK;

#endif
