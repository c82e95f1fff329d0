/* Rows for the option table; those of settings are made of settings.def. */
#include "config/train_options.h"

#include "base/env.h"
#include "base/number.h"
#include "config/setting_rows_internal.h"

#include <assert.h>
#include <stdio.h>

void fx_train_args_init(struct fx_train_args *args, const char *tool, enum fx_owner owner)
{
    *args = (struct fx_train_args){
        .run = { .device = "auto", .task = fx_env("FUSION_TASK"), .checkpoint_minutes = 10 },
    };
    fx_settings_init(&args->settings, tool, owner);
}

/* Where a run reads, writes and computes, and what it does instead of training. */
static int run_rows(struct fx_option *rows, int n, struct fx_train_args *args)
{
    struct fx_run_options *r = &args->run;
    const struct fx_option group[] = {
        { "data", 0, "FILE", FX_OPT_STRING, &args->data, 0, 0, NULL,
          "data set of cifar-prep (required)", NULL },
        { "checkpoint-dir", 0, "DIR", FX_OPT_STRING, &r->checkpoint_dir, 0, 0, NULL,
          "directory of the run: best and last checkpoint, history (required)", NULL },
        { "resume", 0, NULL, FX_OPT_FLAG, &r->resume, 0, 0, NULL,
          "resume the run in DIR; start it when there is none", NULL },
        { "finished", 0, NULL, FX_OPT_FLAG, &args->finished, 0, 0, NULL,
          "train nothing: exit 0 if the run in DIR is finished with these settings, else 1 or 2",
          NULL },
        { "checkpoint-minutes", 0, "N", FX_OPT_REAL, &r->checkpoint_minutes, 0, 1e6, NULL,
          "maximum minutes between two checkpoints (default: 10)", NULL },
        { "task", 0, "NAME", FX_OPT_STRING, &r->task, 0, 0, NULL,
          "put [NAME] before every line of the log (default: $FUSION_TASK)", NULL },
        { "device", 0, "NAME", FX_OPT_STRING, &r->device, 0, 0, NULL,
          "auto|cpu|ref|cuda or auto:N, cuda:N with a GPU's number (default: auto)", NULL },
        { "threads", 0, "N", FX_OPT_INT, &r->threads, 1, 1024, NULL,
          "CPU threads (default: as many as the process may use)", NULL },
        { "print-schedule", 0, NULL, FX_OPT_FLAG, &args->print_schedule, 0, 0, NULL,
          "print the learning rates of every epoch and exit", NULL },
    };

    for (size_t i = 0; i < sizeof group / sizeof *group; i++)
        rows[n++] = group[i];
    return n;
}

/* ---- settings -------------------------------------------------------------------------------- */

/* The default as --help says it; NULL where the help says it by itself, or there is none. */
static const char *default_text(const struct fx_setting_row *row, char *buf, size_t n)
{
    if (row->standard == FX_BY_RECIPE)
        return "the recipe's";
    if (row->standard == FX_NONE)
        return NULL;
    switch (row->kind) {
    case FX_KIND_CHOICE:
        return fx_word_text(row->words, (int)row->standard, buf);
    case FX_KIND_INT:
    case FX_KIND_REAL:
        return fx_number_text(row->standard, buf, n);
    case FX_KIND_TEXT:
    case FX_KIND_FLAG:
        break;
    }
    return NULL;
}

static void make_help(const struct fx_setting_row *row, char *help)
{
    char buf[FX_WORD_BYTES];
    const char *text = default_text(row, buf, sizeof buf);
    int n;

    if (text)
        n = snprintf(help, FX_TRAIN_HELP_BYTES, "%s (default: %s)", row->help, text);
    else
        n = snprintf(help, FX_TRAIN_HELP_BYTES, "%s%s", row->help,
                     row->no_help ? " (default)" : "");
    assert(n < FX_TRAIN_HELP_BYTES);
}

static enum fx_option_type type_of(enum fx_setting_kind kind)
{
    static const enum fx_option_type types[] = {
        [FX_KIND_TEXT] = FX_OPT_STRING, [FX_KIND_CHOICE] = FX_OPT_ENUM, [FX_KIND_INT] = FX_OPT_INT,
        [FX_KIND_REAL] = FX_OPT_REAL,   [FX_KIND_FLAG] = FX_OPT_FLAG,
    };

    return types[kind];
}

/* --NAME and, where there is one, --no-NAME. */
static int setting_rows(struct fx_option *rows, int n, struct fx_train_args *args,
                        enum fx_setting setting)
{
    const struct fx_setting_row *row = &fx_setting_rows[setting];
    struct fx_option option = { .name = row->name,
                                .arg = row->arg,
                                .type = type_of(row->kind),
                                .dst = (char *)&args->settings + row->offset,
                                .min = row->min,
                                .max = row->max,
                                .choices = row->words,
                                .help = args->help[setting],
                                .given = &args->given.of[setting] };

    make_help(row, args->help[setting]);
    rows[n++] = option;
    if (!row->no_help)
        return n;
    option.name = row->no_name;
    option.type = FX_OPT_CLEAR;
    option.help = row->no_help;
    rows[n++] = option;
    return n;
}

void fx_train_rows(struct fx_option *rows, int n, struct fx_train_args *args, enum fx_owner owner)
{
    n = run_rows(rows, n, args);
    for (int i = 0; i < FX_N_SETTINGS; i++)
        if (fx_setting_rows[i].owner & owner)
            n = setting_rows(rows, n, args, (enum fx_setting)i);
    assert(n < FX_TRAIN_ROWS_MAX);
    rows[n] = (struct fx_option){ .type = FX_OPT_END };
}

enum fx_status fx_train_check(const struct fx_train_args *args, struct fx_err *err)
{
    if (args->print_schedule)
        return FX_OK;
    if (!args->data && !args->finished)
        return fx_fail(err, FX_EUSAGE, "--data FILE is required");
    if (!args->run.checkpoint_dir)
        return fx_fail(err, FX_EUSAGE, "--checkpoint-dir DIR is required");
    return FX_OK;
}

enum fx_status fx_train_check_patience(const struct fx_train_args *args, struct fx_err *err)
{
    const struct fx_settings *settings = &args->settings;

    if (args->given.of[FX_SET_patience] && settings->patience > 0 &&
        settings->choose == FX_CHOOSE_LAST)
        return fx_fail(err, FX_EUSAGE,
                       "--patience: for --choose accuracy; this run keeps the last epoch");
    return FX_OK;
}
