/* The recipes of the original system, and the one that starts from the ensemble: those of the
 * mission's fusions and of architectures stand in their files. */
#include "config/recipe.h"

#include "base/number.h"
#include "net/arch.h"
#include "net/fusion.h"

#include <limits.h>

/* What a recipe says of one setting. */
struct choice {
    enum fx_setting setting;
    double value;
};

#define N_OF(choices) (int)(sizeof(choices) / sizeof *(choices))

static void choose(struct fx_settings *settings, const struct fx_given *given,
                   const struct choice *choices, int n)
{
    for (int i = 0; i < n; i++)
        if (!given->of[choices[i].setting])
            fx_setting_put(settings, choices[i].setting, choices[i].value);
}

/* The smallest batch that one of the experts asks for. */
static int batch_of(const char *archs)
{
    int batch = INT_MAX;

    for (; archs; archs = fx_arch_next(archs)) {
        const struct fx_arch *arch = fx_arch_find(archs);
        if (arch && arch->network->recipe.batch < batch)
            batch = arch->network->recipe.batch;
    }
    return batch;
}

/* ---- fusion runs ----------------------------------------------------------------------------- */

/* What the published runs of the original used, for every fusion. */
static const struct choice reported[] = {
    { FX_SET_lr_experts, 1e-4 },     { FX_SET_lr_fusion, 1e-3 },
    { FX_SET_lr_head, 1e-3 },        { FX_SET_weight_decay, 1e-4 },
    { FX_SET_label_smoothing, 0.1 }, { FX_SET_augment, FX_AUGMENT_LIGHT },
    { FX_SET_mixup_alpha, 0.2 },     { FX_SET_schedule, FX_SCHEDULE_CONSTANT },
    { FX_SET_val, FX_VAL_TEST },
};

/* The fused model starts as the ensemble of its experts and learns to be better, on all images. */
static const struct choice ensemble[] = {
    { FX_SET_lr_fusion, 3e-4 },
    { FX_SET_lr_head, 3e-4 },
    { FX_SET_experts_lr_scale, 1 },
    { FX_SET_weight_decay, 1e-4 },
    { FX_SET_label_smoothing, 0.1 },
    { FX_SET_augment, FX_AUGMENT_BASIC },
    { FX_SET_mix, FX_MIX_NONE },
    { FX_SET_mixup_alpha, 0.2 },
    { FX_SET_schedule, FX_SCHEDULE_COSINE },
    { FX_SET_val, FX_VAL_HOLDOUT },
    { FX_SET_epochs, 20 },
    { FX_SET_fused, FX_FUSED_RESIDUAL },
    { FX_SET_kd, 0.5 },
    { FX_SET_train, FX_TRAIN_ALL },
    { FX_SET_choose, FX_CHOOSE_LAST },
};

static void choose_ensemble(struct fx_settings *settings, const struct fx_given *given)
{
    bool has_product = fx_fusions[settings->fusion].module->has_product;

    choose(settings, given, ensemble, N_OF(ensemble));
    const struct choice more[] = {
        { FX_SET_norms, has_product ? FX_NORMS_SLOTS : FX_NORMS_ONES },
        /* Experts that see all their images again may move further. */
        { FX_SET_lr_experts, settings->train == FX_TRAIN_ALL ? 1e-3 : 3e-4 },
    };
    choose(settings, given, more, N_OF(more));
}

/* The rates of the mission, adapted to the width of the features in this order. */
static void adapt_rates(int width, struct fx_fusion_recipe *r, double *lr_head)
{
    if (width > 1000) {
        r->lr_experts = fx_number_times(r->lr_experts, 0.7);
        *lr_head = fx_number_times(*lr_head, 0.8);
    }
    if (width < 100) {
        r->lr_experts = fx_number_times(r->lr_experts, 1.3);
        *lr_head = fx_number_times(*lr_head, 1.2);
    }
    if (r->lr_experts_wide > 0 && width > 500)
        r->lr_experts = fx_number_times(r->lr_experts, r->lr_experts_wide);
    if (r->lr_experts_narrow > 0 && width < 500)
        r->lr_experts = fx_number_times(r->lr_experts, r->lr_experts_narrow);
}

/* What the mission says of a fusion (lib/net/fusion). */
static void choose_mission(struct fx_settings *settings, const struct fx_given *given, int width)
{
    struct fx_fusion_recipe r = fx_fusions[settings->fusion].module->recipe;
    double lr_head = r.lr_fusion;

    adapt_rates(width, &r, &lr_head);
    const struct choice mission[] = {
        { FX_SET_lr_experts, r.lr_experts },
        { FX_SET_lr_fusion, r.lr_fusion },
        { FX_SET_lr_head, lr_head },
        { FX_SET_weight_decay, r.weight_decay },
        { FX_SET_label_smoothing, r.label_smoothing },
        { FX_SET_augment, r.augment },
        { FX_SET_mixup_alpha, r.mixup_alpha },
        { FX_SET_schedule, FX_SCHEDULE_COSINE },
        { FX_SET_val, FX_VAL_HOLDOUT },
    };
    choose(settings, given, mission, N_OF(mission));
}

void fx_recipe_fusion(struct fx_settings *settings, const struct fx_given *given, int width)
{
    const struct choice all[] = {
        { FX_SET_epochs, 100 },
        { FX_SET_batch, batch_of(settings->arch) },
        { FX_SET_patience, 0 },
        /* A given rate is the one that trains; a scale beside it was meant for it. */
        { FX_SET_experts_lr_scale, given->of[FX_SET_lr_experts] ? 1 : 0.1 },
        /* A short run by --steps is a trial: it does not spend a validation before its first step.
         */
        { FX_SET_initial, settings->steps < 1 },
    };

    choose(settings, given, all, N_OF(all));
    if (settings->recipe == FX_RECIPE_REPORTED)
        choose(settings, given, reported, N_OF(reported));
    else if (settings->recipe == FX_RECIPE_ENSEMBLE)
        choose_ensemble(settings, given);
    else
        choose_mission(settings, given, width);
    if (given->of[FX_SET_lr_fusion] && !given->of[FX_SET_lr_head])
        settings->lr_head = settings->lr_fusion;
    settings->lr_floor = 0.1;
}

/* ---- one expert ------------------------------------------------------------------------------ */

enum fx_status fx_recipe_expert(struct fx_settings *settings, const struct fx_given *given,
                                struct fx_err *err)
{
    const struct fx_arch *arch = fx_arch_find(settings->arch);

    if (!arch)
        return fx_fail(err, FX_EUSAGE, "--arch %s: no such architecture", settings->arch);
    const struct fx_arch_recipe *r = &arch->network->recipe;
    const struct choice choices[] = {
        { FX_SET_lr_experts, 0.1 },
        { FX_SET_experts_lr_scale, 1 },
        { FX_SET_weight_decay, r->weight_decay },
        { FX_SET_label_smoothing, r->label_smoothing },
        { FX_SET_expert_dropout, r->dropout },
        { FX_SET_augment, r->augment },
        { FX_SET_mixup_alpha, 0.2 },
        { FX_SET_schedule, FX_SCHEDULE_COSINE },
        { FX_SET_val, FX_VAL_HOLDOUT },
        { FX_SET_epochs, 250 },
        { FX_SET_batch, r->batch },
        { FX_SET_patience, 30 },
        { FX_SET_initial, settings->steps < 1 },
    };

    choose(settings, given, choices, N_OF(choices));
    settings->lr_fusion = settings->lr_head = settings->lr_experts;
    settings->patience_above = 75;
    settings->lr_floor = 0;
    settings->sgd = true;
    return FX_OK;
}
