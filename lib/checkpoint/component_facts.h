/* What component files say about the model that they are parts of: their metadata, and the .json
 * that ckpt-split writes beside them. */
#ifndef FX_CHECKPOINT_COMPONENT_FACTS_H
#define FX_CHECKPOINT_COMPONENT_FACTS_H

#include "checkpoint/component.h"

#include <stdint.h>

/* Several opened components; borrowed. */
struct fx_component_list {
    const struct fx_component *files;
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

/* fx_facts_classes, fx_facts_experts: the numbers; *value stays as it is when no file says one. */
enum fx_status fx_facts_classes(struct fx_component_list list, int64_t *value,
                                struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_facts_experts(struct fx_component_list list, int64_t *value,
                                struct fx_err *err) FX_MUST_CHECK;

#endif
