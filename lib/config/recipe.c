/* The recipes of the original system: those of fusions and architectures stand in their files. */
#include "config/recipe.h"

#include "base/number.h"
#include "net/arch.h"
#include "net/fusion.h"

#include <limits.h>
#include <string.h>

enum { EPOCHS = 100, EXPERT_EPOCHS = 250 };
static const double experts_lr_scale = 0.1;

/* What the published runs of the original used, for every fusion. */
static const struct fx_fusion_recipe reported = { .lr_experts = 1e-4,
                                                  .lr_fusion = 1e-3,
                                                  .weight_decay = 1e-4,
                                                  .label_smoothing = 0.1,
                                                  .augment = FX_AUGMENT_LIGHT,
                                                  .mixup_alpha = 0.2 };

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

/* The smallest batch that one of the experts asks for. */
static int64_t batch_of(const char *archs)
{
    int batch = INT_MAX;

    for (; archs; archs = fx_arch_next(archs)) {
        const struct fx_arch *arch = fx_arch_find(archs);
        if (arch && arch->network->recipe.batch < batch)
            batch = arch->network->recipe.batch;
    }
    return batch;
}

static void set_int(int64_t *dst, bool given, int64_t value)
{
    if (!given)
        *dst = value;
}

static void set_real(double *dst, bool given, double value)
{
    if (!given)
        *dst = value;
}

/* A short run by --steps is a trial: it does not spend a validation before its first step. */
static void set_initial(struct fx_settings *settings, const struct fx_given *given)
{
    if (!given->initial)
        settings->initial = settings->steps == 0;
}

enum fx_status fx_recipe_fusion(struct fx_settings *settings, const struct fx_given *given,
                                int width, struct fx_err *err)
{
    bool is_reported = strcmp(settings->recipe, "reported") == 0;
    const struct fx_fusion *fusion;

    FX_TRY(fx_fusion_find(settings->fusion, &fusion, err));
    struct fx_fusion_recipe r = is_reported ? reported : fusion->module->recipe;
    double lr_head = r.lr_fusion;
    if (!is_reported)
        adapt_rates(width, &r, &lr_head);

    set_real(&settings->lr_experts, given->lr_experts, r.lr_experts);
    /* A given rate is the one that trains; a scale beside it was meant for it. */
    set_real(&settings->experts_lr_scale, given->experts_lr_scale,
             given->lr_experts ? 1 : experts_lr_scale);
    if (!given->lr_head)
        settings->lr_head = given->lr_fusion ? settings->lr_fusion : lr_head;
    set_real(&settings->lr_fusion, given->lr_fusion, r.lr_fusion);
    set_real(&settings->weight_decay, given->weight_decay, r.weight_decay);
    set_real(&settings->label_smoothing, given->label_smoothing, r.label_smoothing);
    if (!given->augment)
        settings->augment = r.augment;
    if (!given->mix)
        settings->mix = FX_MIX_CUTMIX;
    set_real(&settings->mixup_alpha, given->mixup_alpha, r.mixup_alpha);
    set_real(&settings->cutmix_alpha, given->cutmix_alpha, 1.0);
    if (!given->schedule)
        settings->schedule = is_reported ? FX_SCHEDULE_CONSTANT : FX_SCHEDULE_COSINE;
    if (!given->val)
        settings->val = is_reported ? FX_VAL_TEST : FX_VAL_HOLDOUT;
    set_int(&settings->epochs, given->epochs, EPOCHS);
    set_int(&settings->batch, given->batch, batch_of(settings->arch));
    settings->lr_floor = 0.1;
    set_initial(settings, given);
    return FX_OK;
}

enum fx_status fx_recipe_expert(struct fx_settings *settings, const struct fx_given *given,
                                struct fx_err *err)
{
    const struct fx_arch *arch = fx_arch_find(settings->arch);

    if (!arch)
        return fx_fail(err, FX_EUSAGE, "--arch %s: no such architecture", settings->arch);
    const struct fx_arch_recipe *r = &arch->network->recipe;
    set_real(&settings->lr_experts, given->lr_experts, 0.1);
    settings->experts_lr_scale = 1.0;
    settings->lr_fusion = settings->lr_head = settings->lr_experts;
    set_real(&settings->weight_decay, given->weight_decay, r->weight_decay);
    set_real(&settings->label_smoothing, given->label_smoothing, r->label_smoothing);
    set_real(&settings->expert_dropout, given->expert_dropout, r->dropout);
    if (!given->augment)
        settings->augment = r->augment;
    if (!given->mix)
        settings->mix = FX_MIX_CUTMIX;
    set_real(&settings->cutmix_alpha, given->cutmix_alpha, 1.0);
    set_real(&settings->mixup_alpha, given->mixup_alpha, 0.2);
    if (!given->schedule)
        settings->schedule = FX_SCHEDULE_COSINE;
    if (!given->val)
        settings->val = FX_VAL_HOLDOUT;
    set_int(&settings->epochs, given->epochs, EXPERT_EPOCHS);
    set_int(&settings->batch, given->batch, r->batch);
    set_int(&settings->patience, given->patience, 30);
    settings->patience_above = 75;
    settings->lr_floor = 0;
    settings->sgd = true;
    set_initial(settings, given);
    return FX_OK;
}
