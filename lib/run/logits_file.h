/* The logits of every head for every image of an evaluation, as safetensors (fusion-eval(1)). */
#ifndef FX_RUN_LOGITS_FILE_H
#define FX_RUN_LOGITS_FILE_H

#include "run/evaluate.h"
#include "tensor/tensor.h"

/* fx_logits_init: f32 (images, classes) named global (where there is a fusion) and expert.K; with
 * the metadata split and arch. */
enum fx_status fx_logits_init(struct fx_tensor_set *set, const struct fx_subset *subset,
                              const struct fx_graph *graph, const char *arch,
                              struct fx_err *err) FX_MUST_CHECK;

/* fx_logits_take: an fx_logits_sink that fills the set ctx; the ensemble is not in it. */
enum fx_status fx_logits_take(void *ctx, int head, int64_t first, int n, const float *logits,
                              struct fx_err *err) FX_MUST_CHECK;

#endif
