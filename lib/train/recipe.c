/* The recipes of the original system as tables. */
#include "train/recipe.h"

#include "base/number.h"

#include <string.h>

static const double experts_lr_scale = 0.1;
enum { EPOCHS = 100, BATCH = 128, BATCH_DENSENET = 64 };

struct fusion_recipe {
    const char *fusion;
    double lr_experts, lr_fusion, weight_decay, label_smoothing;
    const char *augment;
    double mixup_alpha, cutmix_alpha;
};

static const struct fusion_recipe mission[] = {
    { "multiplicative", 1e-4, 5e-4, 1e-4, 0.1, "baseline", 0.2, 1.0 },
    { "multiplicativeAddition", 1e-4, 1e-3, 1e-4, 0.08, "strong", 0.3, 1.0 },
    { "TransformerBase", 5e-5, 2e-4, 5e-4, 0.05, "sota", 0.2, 1.0 },
    { "concatenation", 1e-4, 1e-3, 1e-4, 0.08, "strong", 0.3, 1.0 },
    { "simpleAddition", 1e-4, 1e-3, 1e-4, 0.1, "baseline", 0.2, 1.0 },
    { "multiplicativeShifted", 1e-4, 1e-3, 1e-4, 0.1, "baseline", 0.2, 1.0 },
};

/* What the published runs of the original used, for every fusion. */
static const struct fusion_recipe reported = { NULL, 1e-4, 1e-3, 1e-4, 0.1, "light", 0.2, 1.0 };

/* The rates of the mission, adapted to the width of the features in this order. */
static void adapt_rates(const char *fusion, int width, struct fusion_recipe *rates, double *lr_head)
{
    if (width > 1000) {
        rates->lr_experts = fx_number_times(rates->lr_experts, 0.7);
        *lr_head = fx_number_times(*lr_head, 0.8);
    }
    if (width < 100) {
        rates->lr_experts = fx_number_times(rates->lr_experts, 1.3);
        *lr_head = fx_number_times(*lr_head, 1.2);
    }
    if (strcmp(fusion, "TransformerBase") == 0 && width > 500)
        rates->lr_experts = fx_number_times(rates->lr_experts, 0.8);
    if (strcmp(fusion, "multiplicative") == 0 && width < 500)
        rates->lr_experts = fx_number_times(rates->lr_experts, 1.1);
}

static const struct fusion_recipe *find_mission(const char *fusion)
{
    for (size_t i = 0; i < sizeof mission / sizeof *mission; i++)
        if (strcmp(mission[i].fusion, fusion) == 0)
            return &mission[i];
    return NULL;
}

/* True when one of the experts is a densenet121: the only family with a smaller batch. */
static bool has_densenet(const char *arch)
{
    return strstr(arch, "densenet121") != NULL;
}

static void set_text(const char **dst, bool given, const char *value)
{
    if (!given)
        *dst = value;
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
    const struct fusion_recipe *base = find_mission(settings->fusion);

    if (base == NULL)
        return fx_fail(err, FX_EUSAGE, "--fusion %s: no recipe for it", settings->fusion);
    struct fusion_recipe r = is_reported ? reported : *base;
    double lr_head = r.lr_fusion;
    if (!is_reported)
        adapt_rates(settings->fusion, width, &r, &lr_head);

    set_real(&settings->lr_experts, given->lr_experts, r.lr_experts);
    /* A given rate is the one that trains; a scale beside it was meant for it. */
    set_real(&settings->experts_lr_scale, given->experts_lr_scale,
             given->lr_experts ? 1 : experts_lr_scale);
    if (!given->lr_head)
        settings->lr_head = given->lr_fusion ? settings->lr_fusion : lr_head;
    set_real(&settings->lr_fusion, given->lr_fusion, r.lr_fusion);
    set_real(&settings->weight_decay, given->weight_decay, r.weight_decay);
    set_real(&settings->label_smoothing, given->label_smoothing, r.label_smoothing);
    set_text(&settings->augment, given->augment, r.augment);
    set_text(&settings->mix, given->mix, "cutmix");
    set_real(&settings->mixup_alpha, given->mixup_alpha, r.mixup_alpha);
    set_real(&settings->cutmix_alpha, given->cutmix_alpha, r.cutmix_alpha);
    set_text(&settings->schedule, given->schedule, is_reported ? "constant" : "cosine");
    set_text(&settings->val, given->val, is_reported ? "test" : "holdout");
    set_int(&settings->epochs, given->epochs, EPOCHS);
    set_int(&settings->batch, given->batch, has_densenet(settings->arch) ? BATCH_DENSENET : BATCH);
    settings->lr_floor = 0.1;
    set_initial(settings, given);
    return FX_OK;
}

struct expert_recipe {
    const char *family;
    double weight_decay, dropout, label_smoothing;
    const char *augment;
    int64_t batch;
};

static const struct expert_recipe experts[] = {
    { "densenet121", 1e-4, 0.2, 0.05, "light", BATCH_DENSENET },
    { "resnet18", 1e-4, 0.0, 0.1, "baseline", BATCH },
    { "improved_wideresnet28_10", 5e-4, 0.3, 0.05, "strong", BATCH },
    { "preact_resnext29_8x64d", 5e-4, 0.3, 0.05, "sota", BATCH },
};

/* arch is FAMILY or FAMILY:KEY=VALUE,... */
static const struct expert_recipe *find_expert(const char *arch)
{
    size_t n = strcspn(arch, ":");

    for (size_t i = 0; i < sizeof experts / sizeof *experts; i++)
        if (strlen(experts[i].family) == n && memcmp(experts[i].family, arch, n) == 0)
            return &experts[i];
    return NULL;
}

enum fx_status fx_recipe_expert(struct fx_settings *settings, const struct fx_given *given,
                                struct fx_err *err)
{
    const struct expert_recipe *r = find_expert(settings->arch);

    if (r == NULL)
        return fx_fail(err, FX_EUSAGE, "--arch %s: no recipe for this family", settings->arch);
    set_real(&settings->lr_experts, given->lr_experts, 0.1);
    settings->experts_lr_scale = 1.0;
    settings->lr_fusion = settings->lr_head = settings->lr_experts;
    set_real(&settings->weight_decay, given->weight_decay, r->weight_decay);
    set_real(&settings->label_smoothing, given->label_smoothing, r->label_smoothing);
    set_real(&settings->expert_dropout, given->expert_dropout, r->dropout);
    set_text(&settings->augment, given->augment, r->augment);
    set_text(&settings->mix, given->mix, "cutmix");
    set_real(&settings->cutmix_alpha, given->cutmix_alpha, 1.0);
    set_real(&settings->mixup_alpha, given->mixup_alpha, 0.2);
    set_text(&settings->schedule, given->schedule, "cosine");
    set_text(&settings->val, given->val, "holdout");
    set_int(&settings->epochs, given->epochs, 250);
    set_int(&settings->batch, given->batch, r->batch);
    set_int(&settings->patience, given->patience, 30);
    settings->patience_above = 75;
    settings->lr_floor = 0;
    settings->sgd = true;
    set_initial(settings, given);
    return FX_OK;
}
