/* Names are for people: a file without them is as good.  Superclasses are read off the images. */
#include "data/labels.h"

#include "base/jsonl.h"

#include <stdio.h>
#include <string.h>

enum fx_status fx_label_names(const struct fx_dataset *ds, const char *key, json_t **names,
                              struct fx_err *err)
{
    const char *text = fx_tensor_set_meta(&ds->file.set, key);
    json_error_t why;

    *names = NULL;
    if (text && fx_json_parse(text, strlen(text), 0, names, &why) == FX_EFAIL)
        return fx_fail(err, FX_EFAIL, "%s: %s: %s", ds->file.input.name, key, why.text);
    return FX_OK;
}

const char *fx_label_name(const json_t *names, int label, char number[FX_LABEL_NUMBER_BYTES])
{
    const char *name = json_string_value(json_array_get(names, (size_t)label));

    snprintf(number, FX_LABEL_NUMBER_BYTES, "%d", label);
    return name ? name : number;
}

static bool take_part(const struct fx_image_set *images, uint8_t *superclass, bool *known, int *n)
{
    for (int64_t i = 0; i < images->n; i++) {
        uint8_t fine = images->fine[i], coarse = images->coarse[i];
        if (known[fine] && superclass[fine] != coarse)
            return false;
        known[fine] = true;
        superclass[fine] = coarse;
        *n = coarse >= *n ? coarse + 1 : *n;
    }
    return true;
}

int fx_superclasses(const struct fx_dataset *ds, uint8_t superclass[FX_LABELS_MAX])
{
    bool known[FX_LABELS_MAX] = { false };
    int n = 0;

    memset(superclass, 0, FX_LABELS_MAX);
    bool is_whole =
        take_part(&ds->train, superclass, known, &n) && take_part(&ds->test, superclass, known, &n);
    return is_whole ? n : 0;
}
