/* Names of classes and normalisation, as metadata. */
#include "data/image_facts.h"

#include <string.h>

const char *const fx_image_fact_keys[FX_N_IMAGE_FACTS] = { "fine_labels", "mean", "std" };

bool fx_image_facts_has(const char *key)
{
    for (int i = 0; i < FX_N_IMAGE_FACTS; i++)
        if (strcmp(key, fx_image_fact_keys[i]) == 0)
            return true;
    return false;
}

enum fx_status fx_image_facts_copy(const struct fx_tensor_set *from, struct fx_tensor_set *to,
                                   struct fx_err *err)
{
    for (int i = 0; i < FX_N_IMAGE_FACTS; i++) {
        const char *value = fx_tensor_set_meta(from, fx_image_fact_keys[i]);
        if (value)
            FX_TRY(fx_tensor_set_put_meta(to, fx_image_fact_keys[i], value, err));
    }
    return FX_OK;
}
