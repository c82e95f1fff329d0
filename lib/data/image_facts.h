/* What a model must be told about images besides its weights: what the classes are called, and how
 * pixels were normalised in training.  Data sets and model files say it with the same metadata
 * (fusion-dataset(5)). */
#ifndef FX_DATA_IMAGE_FACTS_H
#define FX_DATA_IMAGE_FACTS_H

#include "tensor/tensor.h"

#include <jansson.h>

/* The metadata keys: fine_labels, mean, std. */
enum { FX_N_IMAGE_FACTS = 3 };
extern const char *const fx_image_fact_keys[FX_N_IMAGE_FACTS];

bool fx_image_facts_has(const char *key); /* it is one of them */

/* fx_image_facts_copy: puts into `to` what `from` says of them. */
enum fx_status fx_image_facts_copy(const struct fx_tensor_set *from, struct fx_tensor_set *to,
                                   struct fx_err *err) FX_MUST_CHECK;

/* fx_image_facts_channels: how pixels divided by 255 were normalised, of red, green and blue: mean
 * and std, which the set must have.  FX_EINPUT: metadata that is missing, or not three sensible
 * numbers. */
enum fx_status fx_image_facts_channels(const struct fx_tensor_set *set, float mean[3], float std[3],
                                       struct fx_err *err) FX_MUST_CHECK;

/* fx_names_read: the names of n classes, an array of as many texts, owned by the caller
 * (json_decref); NULL when the set has none.  FX_EINPUT: something else. */
enum fx_status fx_names_read(const struct fx_tensor_set *set, int n, json_t **names,
                             struct fx_err *err) FX_MUST_CHECK;

#endif
