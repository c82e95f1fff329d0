/* The table of settings.def, and what is made of single settings. */
#include "config/settings.h"

#include "base/number.h"
#include "config/setting_rows_internal.h"
#include "net/arch.h"
#include "net/fusion.h"

#include <inttypes.h>
#include <stdio.h>

#define NONE FX_NONE
#define RECIPE FX_BY_RECIPE
#define TEXT(list, argument) .kind = FX_KIND_TEXT, .words = (list), .arg = (argument)
#define CHOICE(value, list, argument)                                                              \
    .kind = FX_KIND_CHOICE, .standard = (value), .words = (list), .arg = (argument)
#define INT(value, least, most)                                                                    \
    .kind = FX_KIND_INT, .standard = (value), .min = (least), .max = (most), .arg = "N"
#define REAL(value, least, most, argument)                                                         \
    .kind = FX_KIND_REAL, .standard = (value), .min = (least), .max = (most), .arg = (argument)
#define ON(no, no_says) .kind = FX_KIND_FLAG, .standard = 1, .no_name = (no), .no_help = (no_says)
#define OFF .kind = FX_KIND_FLAG
#define ROW(field, text, tools, saved, says, ...)                                                  \
    { .name = (text),                                                                              \
      .offset = offsetof(struct fx_settings, field),                                               \
      .owner = (tools),                                                                            \
      .decides = (saved),                                                                          \
      .help = (says),                                                                              \
      __VA_ARGS__ },
#define FX_SETTING(field, name, owner, kind, help) ROW(field, name, owner, true, help, kind)
#define FX_QUIET(field, name, owner, kind, help)                                                   \
    ROW(field, name, owner, true, help, kind, .is_quiet = true)
#define FX_FREE(field, name, owner, kind, help) ROW(field, name, owner, false, help, kind)

const struct fx_setting_row fx_setting_rows[FX_N_SETTINGS] = {
#include "config/settings.def"
};

void fx_setting_put(struct fx_settings *settings, enum fx_setting setting, double value)
{
    const struct fx_setting_row *row = &fx_setting_rows[setting];
    void *field = (char *)settings + row->offset;

    switch (row->kind) {
    case FX_KIND_TEXT:
        break;
    case FX_KIND_CHOICE:
        *(int *)field = (int)value;
        break;
    case FX_KIND_INT:
        *(int64_t *)field = (int64_t)value;
        break;
    case FX_KIND_REAL:
        *(double *)field = value;
        break;
    case FX_KIND_FLAG:
        *(bool *)field = value != 0;
        break;
    }
}

void fx_settings_init(struct fx_settings *settings, const char *tool, enum fx_owner owner)
{
    *settings = (struct fx_settings){ .tool = tool, .patience_above = -1 };
    for (int i = 0; i < FX_N_SETTINGS; i++) {
        const struct fx_setting_row *row = &fx_setting_rows[i];
        bool is_none = row->standard < 0 || (row->kind == FX_KIND_CHOICE && !(row->owner & owner));
        fx_setting_put(settings, (enum fx_setting)i, is_none ? FX_NONE : row->standard);
    }
}

const char *fx_setting_word(const struct fx_settings *settings, enum fx_setting setting,
                            char buf[FX_WORD_BYTES])
{
    const struct fx_setting_row *row = &fx_setting_rows[setting];
    int value = *(const int *)((const char *)settings + row->offset);

    return value == FX_NONE ? NULL : fx_word_text(row->words, value, buf);
}

void fx_settings_rates(const struct fx_settings *settings, double lr[FX_N_GROUPS])
{
    lr[FX_GROUP_EXPERTS] = fx_number_times(settings->lr_experts, settings->experts_lr_scale);
    lr[FX_GROUP_FUSION] = settings->lr_fusion;
    lr[FX_GROUP_HEAD] = settings->lr_head;
}

const char *fx_settings_summary(const struct fx_settings *settings,
                                char buf[FX_SETTINGS_SUMMARY_BYTES])
{
    char schedule[FX_WORD_BYTES], augment[FX_WORD_BYTES], mix[FX_WORD_BYTES];

    snprintf(buf, FX_SETTINGS_SUMMARY_BYTES,
             "%s over %lld epochs of batches of %lld, augment %s, mix %s",
             fx_word_text(FX_SCHEDULE_KINDS, settings->schedule, schedule),
             (long long)settings->epochs, (long long)settings->batch,
             fx_word_text(FX_AUGMENT_POLICIES, settings->augment, augment),
             fx_word_text(FX_MIX_KINDS, settings->mix, mix));
    return buf;
}

const char *fx_settings_choice(const struct fx_settings *settings)
{
    return settings->choose == FX_CHOOSE_LAST ? "the last epoch is kept; validated on"
                                              : "best checkpoint chosen on";
}

uint64_t fx_settings_key(const struct fx_settings *settings)
{
    uint64_t seed = (uint64_t)settings->seed;

    if (settings->expert == FX_NONE || settings->expert == FX_EXPERT_ALL)
        return seed;
    return seed + ((uint64_t)settings->expert + 1) * 0x100000000u;
}

/* Images that have been shown by the end of an epoch of n_images; --steps may end the run within.
 */
static int64_t images_seen(const struct fx_settings *settings, int64_t n_images, int64_t epoch)
{
    int64_t of_step = settings->batch * settings->accumulate;
    int64_t n_steps = (n_images + of_step - 1) / of_step;
    int64_t last = (settings->steps - 1) / n_steps; /* the epoch in which it ends, from 0 */

    if (settings->steps < 1 || epoch <= last)
        return epoch * n_images;
    int64_t rest = (settings->steps - last * n_steps) * of_step;
    return last * n_images + (rest < n_images ? rest : n_images);
}

void fx_print_schedule(const struct fx_settings *settings, int64_t n_images, FILE *out)
{
    struct fx_schedule schedule = { .kind = settings->schedule,
                                    .epochs = settings->epochs,
                                    .floor = settings->lr_floor };
    int n_groups = settings->fusion == FX_NONE ? 1 : FX_N_GROUPS;

    fx_settings_rates(settings, schedule.lr);
    fputs(n_groups == 1 ? "epoch\tlr_experts" : "epoch\tlr_experts\tlr_fusion\tlr_global_head",
          out);
    fputs(n_images > 0 ? "\timages_seen\n" : "\n", out);
    for (int64_t epoch = 1; epoch <= settings->epochs; epoch++) {
        double lr[FX_N_GROUPS];
        char text[FX_NUMBER_BYTES];
        fx_schedule_rates(&schedule, epoch - 1, lr);
        fprintf(out, "%" PRId64, epoch);
        for (int group = 0; group < n_groups; group++)
            fprintf(out, "\t%s", fx_number_text(lr[group], text, sizeof text));
        if (n_images > 0)
            fprintf(out, "\t%" PRId64, images_seen(settings, n_images, epoch));
        fputc('\n', out);
    }
}
