/* The table of names, and how an array becomes one series for each expert. */
#include "track/series.h"

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

static const struct name *find(const char *kind, const char *member)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
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

/* One member: a number, or an array of them. */
static bool visit_member(const char *pattern, const char *split, const json_t *value,
                         fx_series_visit visit, void *ctx)
{
    char name[FX_SERIES_NAME_BYTES];
    bool is_array = json_is_array(value);
    size_t n = is_array ? json_array_size(value) : 1;

    for (size_t k = 0; k < n; k++) {
        const json_t *number = is_array ? json_array_get(value, k) : value;
        spell(name, pattern, split, k);
        if (is_number(number) && !visit(ctx, name, number))
            return false;
    }
    return true;
}

/* The pattern of a member: from the table, or KIND/MEMBER made in `made`; NULL: no series. */
static const char *pattern_of(const char *kind, const char *member, bool is_array,
                              char made[FX_SERIES_NAME_BYTES])
{
    const struct name *known = find(kind, member);

    if (known != NULL)
        return known->name;
    if (strchr(member, '%') != NULL)
        return NULL;
    snprintf(made, FX_SERIES_NAME_BYTES, "%s/%s%s", kind, member, is_array ? "_%d" : "");
    return made;
}

bool fx_series_each(const json_t *event, const char *kind, fx_series_visit visit, void *ctx)
{
    json_t *members = (json_t *)event; /* iterating changes nothing, but jansson wants it so */
    const char *split = json_string_value(json_object_get(event, "split"));
    char made[FX_SERIES_NAME_BYTES];

    for (void *at = json_object_iter(members); at != NULL;
         at = json_object_iter_next(members, at)) {
        const json_t *value = json_object_iter_value(at);
        const char *pattern =
            pattern_of(kind, json_object_iter_key(at), json_is_array(value), made);
        if (pattern != NULL &&
            !visit_member(pattern, split != NULL ? split : "eval", value, visit, ctx))
            return false;
    }
    return true;
}
