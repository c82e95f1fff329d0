/* Choices as entries of the cache of plans. */
#include "backend/cuda/vendor/cudnn_library_internal.h"

#include <limits.h>

static bool read_int(const json_t *value, int *to)
{
    json_int_t i = json_integer_value(value);

    if (!json_is_integer(value) || i < 0 || i > INT_MAX)
        return false;
    *to = (int)i;
    return true;
}

static bool read_knobs(const json_t *knobs, struct fx_cudnn_choice *choice)
{
    size_t i;
    json_t *knob;

    if (!json_is_array(knobs) || json_array_size(knobs) > CUDNN_KNOB_TYPE_COUNTS)
        return false;
    json_array_foreach(knobs, i, knob)
    {
        const json_t *value = json_array_get(knob, 1);
        if (!read_int(json_array_get(knob, 0), &choice->knobs[i].type) || !json_is_integer(value))
            return false;
        choice->knobs[i].value = json_integer_value(value);
    }
    choice->n_knobs = (int)i;
    return true;
}

bool fx_cudnn_choice_find(struct fx_cudnn_choice *choice, const struct fx_plan_cache *cache,
                          const char *plan)
{
    const json_t *entry = fx_plan_cache_find(cache, plan);

    *choice = (struct fx_cudnn_choice){ 0 };
    if (!entry)
        return false;
    if (read_int(json_object_get(entry, "engine"), &choice->engine) &&
        read_knobs(json_object_get(entry, "knobs"), choice))
        return true;
    fx_plan_cache_complain(cache, plan);
    return false;
}

void fx_cudnn_choice_add(const struct fx_cudnn_choice *choice, struct fx_plan_cache *cache,
                         const char *plan)
{
    json_t *knobs = json_array();

    for (int i = 0; i < choice->n_knobs; i++)
        json_array_append_new(
            knobs, json_pack("[i, I]", choice->knobs[i].type, (json_int_t)choice->knobs[i].value));
    fx_plan_cache_add(cache, plan,
                      json_pack("{s:i, s:o}", "engine", choice->engine, "knobs", knobs));
}
