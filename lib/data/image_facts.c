/* Names of classes and normalisation, as metadata. */
#include "data/image_facts.h"

#include "base/jsonl.h"

#include <math.h>
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
        if (value && !fx_tensor_set_meta(to, fx_image_fact_keys[i]))
            FX_TRY(fx_tensor_set_put_meta(to, fx_image_fact_keys[i], value, err));
    }
    return FX_OK;
}

/* Three finite numbers, "[0.5, 0.5, 0.5]", above `above`. */
static enum fx_status read_channels(const struct fx_tensor_set *set, const char *key, double above,
                                    float values[3], struct fx_err *err)
{
    const char *text = fx_tensor_set_meta(set, key);
    json_error_t why;
    json_t *array;
    double v[3];

    if (!text)
        return fx_fail(err, FX_EINPUT, "metadata '%s' is missing", key);
    if (fx_json_parse(text, strlen(text), JSON_REJECT_DUPLICATES, &array, &why) == FX_EFAIL)
        return fx_fail(err, FX_EFAIL, "metadata '%s': %s", key, why.text);
    bool good = json_unpack(array, "[FFF!]", &v[0], &v[1], &v[2]) == 0;
    for (int c = 0; good && c < 3; c++) {
        values[c] = (float)v[c];
        good = isfinite(values[c]) && values[c] > above;
    }
    json_decref(array);
    return good ? FX_OK
                : fx_fail(err, FX_EINPUT, "metadata '%s': %.60s: not three sensible numbers", key,
                          text);
}

enum fx_status fx_image_facts_channels(const struct fx_tensor_set *set, float mean[3], float std[3],
                                       struct fx_err *err)
{
    FX_TRY(read_channels(set, "mean", -INFINITY, mean, err));
    return read_channels(set, "std", 0, std, err);
}

enum fx_status fx_names_read(const struct fx_tensor_set *set, int n, json_t **names,
                             struct fx_err *err)
{
    const char *text = fx_tensor_set_meta(set, "fine_labels");
    json_error_t why;
    json_t *name;
    size_t i;

    *names = NULL;
    if (!text)
        return FX_OK;
    if (fx_json_parse(text, strlen(text), JSON_REJECT_DUPLICATES, names, &why) == FX_EFAIL)
        return fx_fail(err, FX_EFAIL, "metadata 'fine_labels': %s", why.text);
    bool good = json_array_size(*names) == (size_t)n;
    json_array_foreach(*names, i, name) good = good && json_is_string(name);
    if (good)
        return FX_OK;
    json_decref(*names);
    *names = NULL;
    return fx_fail(err, FX_EINPUT, "metadata 'fine_labels': not a list of %d names", n);
}
