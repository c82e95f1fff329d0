/* The options of fusion-train and expert-train: of a run, and of the settings. */
#ifndef FX_CONFIG_TRAIN_OPTIONS_H
#define FX_CONFIG_TRAIN_OPTIONS_H

#include "base/io.h"
#include "base/option.h"
#include "config/recipe.h"

/* Where and how to run; none of it decides the result.  Strings are borrowed. */
struct fx_run_options {
    const char *checkpoint_dir;
    const char *device;
    const char *task;                /* NULL: none */
    const struct fx_output *metrics; /* borrowed: where they go; NULL: stdout */
    int64_t threads;                 /* 0: as many as the process may use */
    double checkpoint_minutes;
    bool resume;
};

/* A row for each setting and its negation, for the tool's own and for those of struct
 * fx_run_options. */
enum { FX_TRAIN_ROWS_MAX = 2 * FX_N_SETTINGS + 32, FX_TRAIN_HELP_BYTES = 128 };

/* What the rows fill. */
struct fx_train_args {
    struct fx_settings settings;
    struct fx_given given;
    struct fx_run_options run;
    const char *data;
    bool print_schedule;
    bool finished;
    char help[FX_N_SETTINGS][FX_TRAIN_HELP_BYTES]; /* of the settings' rows */
};

/* The values of options that no recipe decides. */
void fx_train_args_init(struct fx_train_args *args, const char *tool, enum fx_owner owner);

/* fx_train_rows: appends the rows of a run, those of the owner's settings and the end mark to
 * rows[n..], which has FX_TRAIN_ROWS_MAX places.  args outlives the parsing. */
void fx_train_rows(struct fx_option *rows, int n, struct fx_train_args *args, enum fx_owner owner);

/* fx_train_check: what the rows alone cannot check.  FX_EUSAGE. */
enum fx_status fx_train_check(const struct fx_train_args *args, struct fx_err *err) FX_MUST_CHECK;

/* fx_train_check_patience: a given patience waits for the best accuracy, which --choose last does
 * not look at.  After the recipe, which may have chosen the last epoch.  FX_EUSAGE. */
enum fx_status fx_train_check_patience(const struct fx_train_args *args,
                                       struct fx_err *err) FX_MUST_CHECK;

#endif
