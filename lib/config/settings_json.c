/* The settings as JSON, as a command line and back, and compared. */
#include "config/settings.h"

#include "base/jsonl.h"
#include "base/io.h"
#include "base/number.h"
#include "config/setting_rows_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const void *field(const struct fx_settings *settings, const struct fx_setting_row *row)
{
    return (const char *)settings + row->offset;
}

const char *fx_setting_name(enum fx_setting setting)
{
    return fx_setting_rows[setting].name;
}

json_t *fx_setting_value(const struct fx_settings *settings, enum fx_setting setting)
{
    const struct fx_setting_row *row = &fx_setting_rows[setting];
    const void *at = field(settings, row);
    char word[FX_WORD_BYTES];

    switch (row->kind) {
    case FX_KIND_TEXT:
        return *(const char *const *)at ? fx_json_text(*(const char *const *)at) : json_null();
    case FX_KIND_CHOICE:
        return *(const int *)at == FX_NONE
                   ? json_null()
                   : json_string(fx_word_text(row->words, *(const int *)at, word));
    case FX_KIND_INT:
        return json_integer(*(const int64_t *)at);
    case FX_KIND_REAL:
        return json_real(*(const double *)at);
    case FX_KIND_FLAG:
        return json_boolean(*(const bool *)at);
    }
    return NULL;
}

static bool is_standard(const void *at, const struct fx_setting_row *row)
{
    switch (row->kind) {
    case FX_KIND_CHOICE:
        return *(const int *)at == (int)row->standard;
    case FX_KIND_REAL:
        return *(const double *)at == row->standard;
    case FX_KIND_FLAG:
        return *(const bool *)at == (row->standard != 0);
    default:
        return false;
    }
}

bool fx_setting_applies(const struct fx_settings *settings, enum fx_setting setting)
{
    const struct fx_setting_row *row = &fx_setting_rows[setting];
    const void *at = field(settings, row);

    if (row->is_quiet && is_standard(at, row))
        return false;
    if (row->kind == FX_KIND_TEXT)
        return *(const char *const *)at;
    return row->kind != FX_KIND_CHOICE || *(const int *)at != FX_NONE;
}

/* What a run has that was started before there was the setting; null: recipes decide. */
static json_t *standard_value(enum fx_setting setting)
{
    const struct fx_setting_row *row = &fx_setting_rows[setting];
    struct fx_settings settings = { 0 };

    if (row->standard == FX_BY_RECIPE)
        return json_null();
    fx_setting_put(&settings, setting, row->standard);
    return fx_setting_value(&settings, setting);
}

json_t *fx_settings_json(const struct fx_settings *settings)
{
    json_t *object = json_object();

    for (int i = 0; object && i < FX_N_SETTINGS; i++) {
        const struct fx_setting_row *row = &fx_setting_rows[i];
        if (!row->decides || !fx_setting_applies(settings, (enum fx_setting)i))
            continue;
        if (json_object_set_new(object, row->name,
                                fx_setting_value(settings, (enum fx_setting)i)) != 0) {
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
static bool may_change(const struct fx_settings *settings, enum fx_setting setting)
{
    return !fx_setting_rows[setting].decides ||
           (setting == FX_SET_epochs && settings->schedule == FX_SCHEDULE_CONSTANT);
}

static enum fx_status check_setting(const struct fx_settings *settings, enum fx_setting setting,
                                    const json_t *started, struct fx_err *err)
{
    const struct fx_setting_row *row = &fx_setting_rows[setting];
    const json_t *known = json_object_get(started, row->name);
    json_t *now = fx_setting_value(settings, setting);
    json_t *standard = json_is_null(now) ? json_null() : standard_value(setting);
    const json_t *old = known ? known : standard;
    char was[128], is[128];
    bool is_whole = now && standard, same = same_value(old, now);

    value_text(old, was, sizeof was);
    value_text(now, is, sizeof is);
    json_decref(now);
    json_decref(standard);
    if (!is_whole)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", row->name);
    if (same)
        return FX_OK;
    return fx_fail(err, FX_EUSAGE,
                   "%s: the run was started with %s, not %s; other settings need another "
                   "--checkpoint-dir (make: %s=)",
                   row->name, was, is, settings->expert == FX_NONE ? "OUT" : "EXPERTS");
}

enum fx_status fx_settings_check(const struct fx_settings *settings, const json_t *started,
                                 struct fx_err *err)
{
    for (int i = 0; i < FX_N_SETTINGS; i++)
        if (!may_change(settings, (enum fx_setting)i))
            FX_TRY(check_setting(settings, (enum fx_setting)i, started, err));
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

/* Whether the setting is an option of the tool that the command line names. */
static bool is_option(const struct fx_settings *settings, const struct fx_setting_row *row)
{
    return row->decides && row->owner & (settings->fusion == FX_NONE ? FX_OF_EXPERT : FX_OF_FUSION);
}

/* " --NAME VALUE", or nothing where the option would say what is so anyway; false when memory is
 * short. */
static bool print_option(FILE *out, const struct fx_settings *settings, enum fx_setting setting)
{
    const struct fx_setting_row *row = &fx_setting_rows[setting];
    const void *at = field(settings, row);
    char text[128];

    if (!is_option(settings, row) || !fx_setting_applies(settings, setting))
        return true;
    if (row->kind == FX_KIND_FLAG) {
        bool is_on = *(const bool *)at;
        if (is_on != (row->standard != 0))
            fprintf(out, " --%s%s", is_on ? "" : "no-", row->name);
        return true;
    }
    if (row->kind == FX_KIND_REAL && *(const double *)at < 0)
        return true;
    json_t *value = fx_setting_value(settings, setting);
    if (!value)
        return false;
    fprintf(out, " --%s %s", row->name, value_text(value, text, sizeof text));
    json_decref(value);
    return true;
}

char *fx_settings_command(const struct fx_settings *settings)
{
    char *text = NULL;
    bool is_whole = true;
    size_t n_text;
    FILE *out = fx_memory_stream(&text, &n_text);

    if (!out)
        return NULL;
    fputs(settings->tool, out);
    for (int i = 0; is_whole && i < FX_N_SETTINGS; i++)
        is_whole = print_option(out, settings, (enum fx_setting)i);
    if (fclose(out) != 0 || !is_whole) {
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

/* An option that is not there has its default. */
static json_t *command_value(const char *command, enum fx_setting setting)
{
    const struct fx_setting_row *row = &fx_setting_rows[setting];
    const char *no = row->kind == FX_KIND_FLAG && row->standard != 0 ? "no-" : "";
    const char *at = behind_option(command, no, row->name);

    if (!at)
        return row->is_quiet ? json_null() : standard_value(setting);
    switch (row->kind) {
    case FX_KIND_TEXT:
    case FX_KIND_CHOICE:
        return json_stringn(at + 1, strcspn(at + 1, " "));
    case FX_KIND_INT:
        return json_integer(strtoll(at, NULL, 10));
    case FX_KIND_REAL:
        return json_real(strtod(at, NULL));
    case FX_KIND_FLAG:
        return json_boolean(row->standard == 0);
    }
    return json_null();
}

/* A member of the event; null where that lacks it. */
static json_t *told(const json_t *start, const char *name)
{
    json_t *value = json_object_get(start, name);

    return value ? json_incref(value) : json_null();
}

static json_t *started_value(const struct fx_settings *settings, const json_t *start,
                             enum fx_setting setting)
{
    const struct fx_setting_row *row = &fx_setting_rows[setting];
    const char *command = json_string_value(json_object_get(start, "command_line"));

    if (setting == FX_SET_arch)
        return told(start, "arch");
    if (setting == FX_SET_data_digest && settings->data_digest)
        return told(start, "data_digest");
    if (!command || !is_option(settings, row))
        return fx_setting_applies(settings, setting) ? fx_setting_value(settings, setting)
                                                     : json_null();
    return command_value(command, setting);
}

json_t *fx_settings_started(const struct fx_settings *settings, const json_t *start)
{
    json_t *object = json_object();

    for (int i = 0; object && i < FX_N_SETTINGS; i++) {
        json_t *value = fx_setting_rows[i].decides
                            ? started_value(settings, start, (enum fx_setting)i)
                            : json_null();
        if (!json_is_null(value) &&
            json_object_set_new(object, fx_setting_rows[i].name, value) != 0) {
            json_decref(object);
            object = NULL;
        }
    }
    return object;
}
