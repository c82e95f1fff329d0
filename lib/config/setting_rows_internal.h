/* The rows of settings.def as data. */
#ifndef FX_CONFIG_SETTING_ROWS_INTERNAL_H
#define FX_CONFIG_SETTING_ROWS_INTERNAL_H

#include "config/settings.h"

#include <stddef.h>

enum fx_setting_kind { FX_KIND_TEXT, FX_KIND_CHOICE, FX_KIND_INT, FX_KIND_REAL, FX_KIND_FLAG };

/* In place of a default: a recipe sets the value. */
enum { FX_BY_RECIPE = -2 };

struct fx_setting_row {
    const char *name;
    size_t offset; /* in struct fx_settings */
    enum fx_owner owner;
    bool decides;  /* the result */
    bool is_quiet; /* nothing is written of its default */
    enum fx_setting_kind kind;
    double standard;               /* default; FX_NONE, FX_BY_RECIPE: there is none */
    double min, max;               /* INT, REAL */
    const char *words;             /* TEXT, CHOICE */
    const char *arg;               /* its name in --help */
    const char *no_name, *no_help; /* of --no-NAME; NULL: there is no such option */
    const char *help;
};
extern const struct fx_setting_row fx_setting_rows[FX_N_SETTINGS];

#endif
