/* The table of names, and how an array becomes one series for each expert. */
#include "track/series_internal.h"

#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

/* %d is the number of the expert; %s, at the beginning, the split of an eval event. */
static const struct name {
    const char *kind, *member, *name;
} names[] = {
    { "step", "epoch", NULL }, /* NULL: no series */
    { "step", "step", NULL },
    { "step", "loss_total", "step/loss_total" },
    { "step", "loss_global", "step/loss_global" },
    { "step", "loss_individual", "step/loss_individual" },
    { "step", "grad_norm", "step/grad_norm" },
    { "step", "lr_experts", "step/lr_experts" },
    { "step", "lr_fusion", "step/lr_fusion" },
    { "epoch", "epoch", "epoch" },
    { "epoch", "step", NULL },
    { "epoch", "train_loss", "train/loss" },
    { "epoch", "loss_global", "train/loss_global" },
    { "epoch", "loss_individual", "train/loss_individual" },
    { "epoch", "loss_total", NULL }, /* train_loss once more */
    { "epoch", "train_accuracy", "train/accuracy" },
    { "epoch", "val_loss", "val/loss" },
    { "epoch", "val_loss_global", "val/loss_global" },
    { "epoch", "val_accuracy", "val/accuracy" },
    { "epoch", "val_ece", "val/ece" },
    { "epoch", "expert_accuracy", "val/expert_%d_accuracy" },
    { "epoch", "expert_loss", "val/expert_%d_loss" },
    { "epoch", "ensemble_accuracy", "val/ensemble_accuracy" },
    { "epoch", "ensemble_loss", "val/ensemble_loss" },
    { "epoch", "lr_experts", "lr/experts" },
    { "epoch", "lr_fusion", "lr/fusion" },
    { "epoch", "lr_global_head", "lr/global_head" },
    { "epoch", "images_per_second", "speed/images_per_second" },
    { "epoch", "seconds", "speed/epoch_seconds" },
    { "epoch", "val_seconds", "speed/val_seconds" },
    { "eval", "epoch", NULL },
    { "eval", "images", NULL },
    { "eval", "loss", "%s/loss_global" },
    { "eval", "accuracy", "%s/accuracy" },
    { "eval", "ece", "%s/ece" },
    { "eval", "expert_accuracy", "%s/expert_%d_accuracy" },
    { "eval", "expert_loss", "%s/expert_%d_loss" },
    { "eval", "expert_ece", "%s/expert_%d_ece" },
    { "eval", "ensemble_accuracy", "%s/ensemble_accuracy" },
    { "eval", "ensemble_loss", "%s/ensemble_loss" },
    { "eval", "ensemble_ece", "%s/ensemble_ece" },
    { "eval", "images_per_second", "speed/%s_images_per_second" },
    { "eval", "seconds", "speed/%s_seconds" },
    { "end", "epoch", NULL },
    { "end", "step", NULL },
    { "end", "best_epoch", "best/epoch" },
    { "end", "best_val_accuracy", "best/val_accuracy" },
    { "end", "test_images", "test/images" },
    { "end", "test_loss", "test/loss_global" },
    { "end", "test_accuracy", "test/accuracy" },
    { "end", "test_ece", "test/ece" },
    { "end", "test_expert_accuracy", "test/expert_%d_accuracy" },
    { "end", "test_ensemble_accuracy", "test/ensemble_accuracy" },
    { "end", "seconds", "speed/run_seconds" },
};

/* The event whose numbers are visited; borrowed. */
struct series {
    const char *kind, *split;
    fx_series_visit visit;
    void *ctx;
};

static const struct name *find(const char *kind, const char *member)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].kind, kind) == 0 && strcmp(names[i].member, member) == 0)
            return &names[i];
    return NULL;
}

/* Copies a pattern with its %s and %d filled in; too long a split is cut. */
static void spell(char out[FX_SERIES_NAME_BYTES], const char *pattern, const char *split,
                  size_t expert)
{
    size_t n = 0;

    for (; *pattern != '\0' && n < FX_SERIES_NAME_BYTES - 1; pattern++) {
        if (pattern[0] != '%') {
            out[n++] = *pattern;
            continue;
        }
        pattern++;
        if (*pattern == 's')
            snprintf(out + n, FX_SERIES_NAME_BYTES - n, "%s", split);
        else
            snprintf(out + n, FX_SERIES_NAME_BYTES - n, "%zu", expert);
        n += strlen(out + n);
    }
    out[n] = '\0';
}

static bool is_number(const json_t *value)
{
    return json_is_number(value) || json_is_null(value);
}

/* The name of a member, or of its element k: by the table, or KIND/MEMBER. */
static void name_member(char name[FX_SERIES_NAME_BYTES], const struct name *known,
                        const struct series *series, const char *member, bool is_array, size_t k)
{
    if (known)
        spell(name, known->name, series->split, k);
    else if (is_array)
        snprintf(name, FX_SERIES_NAME_BYTES, "%s/%s_%zu", series->kind, member, k);
    else
        snprintf(name, FX_SERIES_NAME_BYTES, "%s/%s", series->kind, member);
    fx_utf8_trim(name);
}

/* One member: a number, or an array of them. */
static bool visit_member(const struct series *series, const char *member, const json_t *value)
{
    const struct name *known = find(series->kind, member);
    char name[FX_SERIES_NAME_BYTES];
    bool is_array = json_is_array(value);
    size_t n = is_array ? json_array_size(value) : 1;

    if (known && !known->name)
        return true;
    for (size_t k = 0; k < n; k++) {
        const json_t *number = is_array ? json_array_get(value, k) : value;
        if (!is_number(number))
            continue;
        name_member(name, known, series, member, is_array, k);
        if (!series->visit(series->ctx, name, number))
            return false;
    }
    return true;
}

bool fx_series_each(const json_t *event, const char *kind, fx_series_visit visit, void *ctx)
{
    json_t *members = (json_t *)event; /* iterating changes nothing, but jansson wants it so */
    const char *split = json_string_value(json_object_get(event, "split"));
    const struct series series = { kind, split ? split : "eval", visit, ctx };

    for (void *at = json_object_iter(members); at; at = json_object_iter_next(members, at))
        if (!visit_member(&series, json_object_iter_key(at), json_object_iter_value(at)))
            return false;
    return true;
}
