/* The option table: one table per tool parses the command line, prints --help and is compared with
 * the man page by a test. */
#ifndef FX_BASE_OPTION_H
#define FX_BASE_OPTION_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum fx_option_type {
    FX_OPT_FLAG,   /* bool *dst: set to true; "--no-NAME" is a separate row with FX_OPT_CLEAR */
    FX_OPT_CLEAR,  /* bool *dst: set to false */
    FX_OPT_STRING, /* const char **dst: borrowed from argv */
    FX_OPT_INT,    /* int64_t *dst: whole number in [min, max], to the end of the string */
    FX_OPT_REAL,   /* double *dst: finite number in [min, max], to the end of the string */
    FX_OPT_CHOICE, /* const char **dst: one of the '|'-separated words in choices */
    FX_OPT_ENUM,   /* any enum *dst: the number of the word in choices */
    FX_OPT_END
};

/* One row.  `given` (may be NULL) is set to true when the option stood on the command line, so a
 * recipe can tell a chosen value from a default. */
struct fx_option {
    const char *name; /* long name without dashes */
    char letter;      /* short form, or 0 */
    const char *arg;  /* name of the argument in --help ("FILE"); NULL for flags */
    enum fx_option_type type;
    void *dst;       /* borrowed */
    double min, max; /* FX_OPT_INT and FX_OPT_REAL, inclusive */
    const char
        *choices; /* FX_OPT_CHOICE, FX_OPT_ENUM: "none|cutmix"; FX_OPT_STRING: for --help only */
    const char *help; /* one line, lower case, no full stop; says the default */
    bool *given;      /* borrowed, may be NULL */
};

/* What a tool says about itself in --help and in its messages. */
struct fx_tool {
    const char *name;                /* "metrics-csv" */
    const char *synopsis;            /* "[options] [FILE]" */
    const char *summary;             /* one sentence: what goes in, what comes out */
    const struct fx_option *options; /* ends with FX_OPT_END; shared rows are added */
    const char *notes;               /* paragraphs of --help behind the options, or NULL */
    const char *example;             /* one command line that runs */
    const char *built_with;          /* more lines for --version ("back ends: ref cpu"), or NULL */
};

/* The row of every tool that writes data: -o FILE, --output FILE; dst is const char **. */
#define FX_OPTION_OUTPUT(dst)                                                                      \
    {                                                                                              \
        "output", 'o', "FILE", FX_OPT_STRING, (dst), 0, 0, NULL,                                   \
            "write to FILE, complete or not at all (default: standard output)", NULL               \
    }

/* What the shared rows (--help --version --quiet --verbose) asked for. */
struct fx_option_shared {
    bool help, version, quiet, verbose;
};

/* fx_option_parse: parses argv[1..argc-1] with the tool's rows and the shared ones, and moves the
 * operands to argv[0..*n_operands-1].  FX_EUSAGE: "--epochs 0: must be between 1 and 10000".  Stops
 * without a look at the rest when --help or --version is met. */
enum fx_status fx_option_parse(const struct fx_tool *tool, int argc, char **argv,
                               struct fx_option_shared *shared, int *n_operands,
                               struct fx_err *err) FX_MUST_CHECK;

/* fx_option_help: the text of --help: usage, summary, one aligned row per option with its choices
 * under it, notes, the example.  pipelines/option-table reads it for the shells' completion. */
void fx_option_help(const struct fx_tool *tool, FILE *out);

#endif
