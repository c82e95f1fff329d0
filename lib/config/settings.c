/* Settings as data: one table turns them into JSON, into a command line and into a comparison. */
#include "config/settings.h"

#include "base/jsonl.h"
#include "base/memory_stream.h"
#include "base/number.h"
#include "base/words.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* KIND_ON is a flag that stands unless --no-NAME is given, KIND_OFF one that does not unless --NAME
 * is. */
enum setting_kind { KIND_STRING, KIND_CHOICE, KIND_INT, KIND_REAL, KIND_ON, KIND_OFF };

/* Which tools have an option of this name; without one, the data or the experts bring the value. */
enum setting_owner { OF_BOTH, OF_FUSION, OF_EXPERT, OF_NONE };

struct setting {
    const char *name;
    enum setting_kind kind;
    size_t offset;
    enum setting_owner owner;
    const char *words; /* KIND_CHOICE: of the enumeration's values */
};

#define ROW(name, kind, field, owner)                                                              \
    {                                                                                              \
        name, kind, offsetof(struct fx_settings, field), owner, NULL                               \
    }

#define CHOICE(name, field, owner, words)                                                          \
    {                                                                                              \
        name, KIND_CHOICE, offsetof(struct fx_settings, field), owner, words                       \
    }

static const struct setting table[] = {
    ROW("arch", KIND_STRING, arch, OF_EXPERT),
    ROW("data", KIND_STRING, data_digest, OF_NONE),
    ROW("fusion", KIND_STRING, fusion, OF_FUSION),
    ROW("expert", KIND_STRING, expert, OF_EXPERT),
    ROW("recipe", KIND_STRING, recipe, OF_FUSION),
    ROW("alpha", KIND_REAL, alpha, OF_FUSION),
    ROW("epochs", KIND_INT, epochs, OF_BOTH),
    ROW("batch", KIND_INT, batch, OF_BOTH),
    ROW("accumulate", KIND_INT, accumulate, OF_BOTH),
    ROW("seed", KIND_INT, seed, OF_BOTH),
    CHOICE("precision", precision, OF_BOTH, FX_PRECISIONS),
    CHOICE("augment", augment, OF_BOTH, FX_AUGMENT_POLICIES),
    CHOICE("mix", mix, OF_BOTH, FX_MIX_KINDS),
    ROW("cutmix-alpha", KIND_REAL, cutmix_alpha, OF_BOTH),
    ROW("mixup-alpha", KIND_REAL, mixup_alpha, OF_BOTH),
    ROW("label-smoothing", KIND_REAL, label_smoothing, OF_BOTH),
    ROW("distill", KIND_REAL, distill, OF_FUSION),
    ROW("dropout", KIND_REAL, dropout, OF_FUSION),
    ROW("expert-dropout", KIND_REAL, expert_dropout, OF_BOTH),
    ROW("clip", KIND_REAL, clip, OF_BOTH),
    ROW("clip-experts", KIND_REAL, clip_experts, OF_FUSION),
    ROW("clip-fusion", KIND_REAL, clip_fusion, OF_FUSION),
    ROW("lr-experts", KIND_REAL, lr_experts, OF_BOTH),
    ROW("lr-fusion", KIND_REAL, lr_fusion, OF_FUSION),
    ROW("lr-head", KIND_REAL, lr_head, OF_FUSION),
    ROW("experts-lr-scale", KIND_REAL, experts_lr_scale, OF_FUSION),
    ROW("weight-decay", KIND_REAL, weight_decay, OF_BOTH),
    CHOICE("schedule", schedule, OF_BOTH, FX_SCHEDULE_KINDS),
    ROW("patience", KIND_INT, patience, OF_BOTH),
    CHOICE("val", val, OF_BOTH, FX_VALS),
    ROW("val-limit", KIND_INT, val_limit, OF_BOTH),
    ROW("shuffle", KIND_ON, shuffle, OF_BOTH),
    ROW("log-steps", KIND_OFF, log_steps, OF_BOTH),
};

enum { N_SETTINGS = sizeof table / sizeof *table };

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

uint64_t fx_settings_key(const struct fx_settings *settings)
{
    uint64_t seed = (uint64_t)settings->seed;

    if (!settings->expert || strcmp(settings->expert, "all") == 0)
        return seed;
    return seed + ((uint64_t)(settings->expert[0] - '0') + 1) * 0x100000000u;
}

static const void *field(const struct fx_settings *settings, const struct setting *row)
{
    return (const char *)settings + row->offset;
}

/* NULL for a string that is not set: the setting does not apply to this tool. */
static json_t *setting_value(const struct fx_settings *settings, const struct setting *row)
{
    const void *at = field(settings, row);
    char word[FX_WORD_BYTES];

    switch (row->kind) {
    case KIND_STRING:
        return *(const char *const *)at ? fx_json_text(*(const char *const *)at) : NULL;
    case KIND_CHOICE:
        return json_string(fx_word_text(row->words, *(const int *)at, word));
    case KIND_INT:
        return json_integer(*(const int64_t *)at);
    case KIND_REAL:
        return json_real(*(const double *)at);
    case KIND_ON:
    case KIND_OFF:
        return json_boolean(*(const bool *)at);
    }
    return NULL;
}

static bool setting_applies(const struct fx_settings *settings, const struct setting *row)
{
    return row->kind != KIND_STRING || *(const char *const *)field(settings, row);
}

json_t *fx_settings_json(const struct fx_settings *settings)
{
    json_t *object = json_object();

    for (int i = 0; object && i < N_SETTINGS; i++) {
        if (!setting_applies(settings, &table[i]))
            continue;
        if (json_object_set_new(object, table[i].name, setting_value(settings, &table[i])) != 0) {
            json_decref(object);
            object = NULL;
        }
    }
    return object;
}

/* A value as a person reads it. */
static const char *value_text(const json_t *value, char *buf, size_t n)
{
    if (json_is_string(value))
        snprintf(buf, n, "%s", json_string_value(value));
    else if (json_is_real(value) && json_real_value(value) < 0)
        snprintf(buf, n, "its default"); /* the architecture's */
    else if (json_is_real(value))
        fx_number_text(json_real_value(value), buf, n);
    else if (json_is_integer(value))
        snprintf(buf, n, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_boolean(value))
        snprintf(buf, n, "%s", json_is_true(value) ? "yes" : "no");
    else
        snprintf(buf, n, "nothing");
    return buf;
}

/* Rates that a recipe makes were not always rounded (fx_number_times): a last digit that no person
 * wrote is no difference. */
static bool same_value(const json_t *old, const json_t *now)
{
    if (json_is_real(old) && json_is_real(now))
        return fx_number_round(json_real_value(old)) == fx_number_round(json_real_value(now));
    return old == now || json_equal(old, now);
}

/* With constant rates the number of epochs decides only where the run ends. */
static bool may_change(const struct fx_settings *settings, const struct setting *row)
{
    return strcmp(row->name, "epochs") == 0 && settings->schedule == FX_SCHEDULE_CONSTANT;
}

enum fx_status fx_settings_check(const struct fx_settings *settings, const json_t *started,
                                 struct fx_err *err)
{
    char was[128], is[128];

    for (int i = 0; i < N_SETTINGS; i++) {
        const json_t *old = json_object_get(started, table[i].name);
        json_t *now = setting_value(settings, &table[i]);
        bool same = same_value(old, now);
        value_text(old, was, sizeof was);
        value_text(now, is, sizeof is);
        json_decref(now);
        if (!same && !may_change(settings, &table[i]))
            return fx_fail(err, FX_EUSAGE,
                           "%s: the run was started with %s, not %s; other settings need another "
                           "--checkpoint-dir (make: %s=)",
                           table[i].name, was, is, settings->expert ? "EXPERTS" : "OUT");
    }
    return FX_OK;
}

enum fx_status fx_settings_check_length(const struct fx_settings *settings, int64_t epochs_done,
                                        int64_t steps_done, struct fx_err *err)
{
    if (settings->steps > 0 && steps_done > settings->steps)
        return fx_fail(err, FX_EUSAGE, "--steps %lld: the run has done %lld already",
                       (long long)settings->steps, (long long)steps_done);
    if (epochs_done > settings->epochs)
        return fx_fail(err, FX_EUSAGE, "--epochs %lld: the run has done %lld already",
                       (long long)settings->epochs, (long long)epochs_done);
    return FX_OK;
}

static bool is_option(const struct fx_settings *settings, const struct setting *row)
{
    return row->owner == OF_BOTH || row->owner == (settings->fusion ? OF_FUSION : OF_EXPERT);
}

/* " --NAME VALUE", or nothing where the option would say what is so anyway. */
static void print_option(FILE *out, const struct fx_settings *settings, const struct setting *row)
{
    const void *at = field(settings, row);
    char text[128];

    if (!is_option(settings, row) || !setting_applies(settings, row))
        return;
    if (row->kind == KIND_ON || row->kind == KIND_OFF) {
        bool is_on = *(const bool *)at;
        if (is_on != (row->kind == KIND_ON))
            fprintf(out, " --%s%s", is_on ? "" : "no-", row->name);
        return;
    }
    if (row->kind == KIND_REAL && *(const double *)at < 0)
        return;
    json_t *value = setting_value(settings, row);
    fprintf(out, " --%s %s", row->name, value_text(value, text, sizeof text));
    json_decref(value);
}

char *fx_settings_command(const struct fx_settings *settings)
{
    char *text = NULL;
    size_t n_text;
    FILE *out = fx_memory_stream(&text, &n_text);

    if (!out)
        return NULL;
    fputs(settings->tool, out);
    for (int i = 0; i < N_SETTINGS; i++)
        print_option(out, settings, &table[i]);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* ---- back from the command line -------------------------------------------------------------- */

/* Behind " --NAME" in a command that fx_settings_command made; NULL where it is not there. */
static const char *behind_option(const char *command, const char *prefix, const char *name)
{
    char option[64];
    int n = snprintf(option, sizeof option, " --%s%s", prefix, name);

    for (const char *at = command; (at = strstr(at, option)); at += n)
        if (at[n] == ' ' || at[n] == '\0')
            return at + n;
    return NULL;
}

static json_t *command_value(const char *command, const struct setting *row)
{
    const char *at = behind_option(command, row->kind == KIND_ON ? "no-" : "", row->name);

    switch (row->kind) {
    case KIND_STRING:
    case KIND_CHOICE:
        return at ? json_stringn(at + 1, strcspn(at + 1, " ")) : NULL;
    case KIND_INT:
        return at ? json_integer(strtoll(at, NULL, 10)) : NULL;
    case KIND_REAL:
        return json_real(!at ? -1 : strtod(at, NULL));
    case KIND_ON:
        return json_boolean(!at);
    case KIND_OFF:
        return json_boolean(at);
    }
    return NULL;
}

static json_t *started_value(const struct fx_settings *settings, const json_t *start,
                             const struct setting *row)
{
    const char *command = json_string_value(json_object_get(start, "command_line"));

    if (strcmp(row->name, "arch") == 0)
        return json_incref(json_object_get(start, "arch"));
    if (row->offset == offsetof(struct fx_settings, data_digest) && settings->data_digest)
        return json_incref(json_object_get(start, "data_digest"));
    if (!command || !is_option(settings, row))
        return setting_value(settings, row);
    return command_value(command, row);
}

json_t *fx_settings_started(const struct fx_settings *settings, const json_t *start)
{
    json_t *object = json_object();

    for (int i = 0; object && i < N_SETTINGS; i++) {
        json_t *value = started_value(settings, start, &table[i]);
        if (value && json_object_set_new(object, table[i].name, value) != 0) {
            json_decref(object);
            object = NULL;
        }
    }
    return object;
}
