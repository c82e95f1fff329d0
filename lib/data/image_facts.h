/* Class names and pixel normalisation: what inference needs besides the weights.  Data sets and
 * model files have them under the same metadata keys (fusion-dataset(5)). */
#ifndef FX_DATA_IMAGE_FACTS_H
#define FX_DATA_IMAGE_FACTS_H

#include "tensor/tensor.h"

#include <jansson.h>

/* The metadata keys: fine_labels, mean, std. */
enum { FX_N_IMAGE_FACTS = 3 };
extern const char *const fx_image_fact_keys[FX_N_IMAGE_FACTS];

bool fx_image_facts_has(const char *key); /* whether key is one of them */

/* fx_image_facts_copy: copies those keys that `from` has and `to` does not say yet into `to`. */
enum fx_status fx_image_facts_copy(const struct fx_tensor_set *from, struct fx_tensor_set *to,
                                   struct fx_err *err) FX_MUST_CHECK;

/* fx_image_facts_channels: mean and standard deviation of pixels divided by 255, for red, green and
 * blue.  FX_EINPUT: a key is missing, or its value is not three finite numbers (std: above 0). */
enum fx_status fx_image_facts_channels(const struct fx_tensor_set *set, float mean[3], float std[3],
                                       struct fx_err *err) FX_MUST_CHECK;

/* fx_names_read: the class names, an array of n strings, owned by the caller (json_decref); NULL
 * when the set has none.  FX_EINPUT: the value is not an array of n strings. */
enum fx_status fx_names_read(const struct fx_tensor_set *set, int n, json_t **names,
                             struct fx_err *err) FX_MUST_CHECK;

#endif
