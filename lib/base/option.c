/* The option table at work: getopt_long does the splitting, the rows say what each word means. */
#include "base/option.h"

#include "base/words.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_ROWS_MAX = 128, LONG_BASE = 256, NAMES_BYTES = 256 };

/* getopt's view of a tool's rows followed by the shared ones. */
struct row_table {
    const struct fx_option *rows[N_ROWS_MAX];
    int n_rows;
    struct option longs[N_ROWS_MAX + 1]; /* val = LONG_BASE + row number */
    char letters[2 * N_ROWS_MAX + 2];
};

static void row_table_add(struct row_table *table, const struct fx_option *rows)
{
    size_t n_letters = strlen(table->letters);

    for (; rows->type != FX_OPT_END; rows++) {
        int i = table->n_rows++;
        bool has_arg = rows->type != FX_OPT_FLAG && rows->type != FX_OPT_CLEAR;
        assert(i < N_ROWS_MAX);
        table->rows[i] = rows;
        table->longs[i] = (struct option){ .name = rows->name,
                                           .has_arg = has_arg ? required_argument : no_argument,
                                           .val = LONG_BASE + i };
        if (rows->letter != 0)
            table->letters[n_letters++] = rows->letter;
        if (rows->letter != 0 && has_arg)
            table->letters[n_letters++] = ':';
    }
    table->letters[n_letters] = '\0';
}

/* The rows that every tool has. */
#define SHARED_ROWS(shared)                                                                          \
    {                                                                                                \
        { "help", 'h', NULL, FX_OPT_FLAG, &(shared)->help, 0, 0, NULL, "show this help and exit",    \
          NULL },                                                                                    \
            { "version",                                                                             \
              'V',                                                                                   \
              NULL,                                                                                  \
              FX_OPT_FLAG,                                                                           \
              &(shared)->version,                                                                    \
              0,                                                                                     \
              0,                                                                                     \
              NULL,                                                                                  \
              "show the version and what it was built with, and exit",                               \
              NULL },                                                                                \
            { "quiet",                                                                               \
              'q',                                                                                   \
              NULL,                                                                                  \
              FX_OPT_FLAG,                                                                           \
              &(shared)->quiet,                                                                      \
              0,                                                                                     \
              0,                                                                                     \
              NULL,                                                                                  \
              "print warnings and errors only",                                                      \
              NULL },                                                                                \
            { "verbose", 'v', NULL, FX_OPT_FLAG, &(shared)->verbose, 0, 0, NULL, "log more", NULL }, \
            { .type = FX_OPT_END },                                                                  \
    }

/* ---- values -----------------------------------------------------------------------------------
 */

static enum fx_status out_of_range(const struct fx_option *row, const char *text,
                                   struct fx_err *err)
{
    int digits = row->type == FX_OPT_INT ? 17 : 15; /* whole numbers reach to 2^53 */

    return fx_fail(err, FX_EUSAGE, "--%s %s: must be between %.*g and %.*g", row->name, text,
                   digits, row->min, digits, row->max);
}

/* An empty value is an unset variable of the shell: ckpt-split -d "$DIR" must not mean "/". */
static enum fx_status set_string(const struct fx_option *row, const char *text, struct fx_err *err)
{
    if (*text == '\0')
        return fx_fail(err, FX_EUSAGE, "--%s: needs a value %s, not an empty one", row->name,
                       row->arg);
    *(const char **)row->dst = text;
    return FX_OK;
}

static enum fx_status set_int(const struct fx_option *row, const char *text, struct fx_err *err)
{
    char *end;

    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (text[strspn(text, "+-0123456789")] != '\0' || end == text || *end != '\0')
        return fx_fail(err, FX_EUSAGE, "--%s %s: not a whole number", row->name, text);
    if (errno == ERANGE || (double)value < row->min || (double)value > row->max)
        return out_of_range(row, text, err);
    *(int64_t *)row->dst = value;
    return FX_OK;
}

static enum fx_status set_real(const struct fx_option *row, const char *text, struct fx_err *err)
{
    char *end;

    errno = 0;
    double value = strtod(text, &end);
    /* The character set keeps out what strtod also takes: blanks, hexadecimal, inf and nan. */
    if (text[strspn(text, "+-.0123456789eE")] != '\0' || end == text || *end != '\0')
        return fx_fail(err, FX_EUSAGE, "--%s %s: not a number", row->name, text);
    if (!isfinite(value) || value < row->min || value > row->max)
        return out_of_range(row, text, err);
    *(double *)row->dst = value;
    return FX_OK;
}

static enum fx_status set_choice(const struct fx_option *row, const char *text, struct fx_err *err)
{
    int number = fx_word_find(row->choices, text);

    if (number < 0)
        return fx_fail(err, FX_EUSAGE, "--%s %s: must be one of %s", row->name, text, row->choices);
    if (row->type == FX_OPT_ENUM)
        *(int *)row->dst = number;
    else
        *(const char **)row->dst = text;
    return FX_OK;
}

static enum fx_status set_row(const struct fx_option *row, const char *text, struct fx_err *err)
{
    enum fx_status status = FX_OK;

    switch (row->type) {
    case FX_OPT_FLAG:
        *(bool *)row->dst = true;
        break;
    case FX_OPT_CLEAR:
        *(bool *)row->dst = false;
        break;
    case FX_OPT_STRING:
        status = set_string(row, text, err);
        break;
    case FX_OPT_INT:
        status = set_int(row, text, err);
        break;
    case FX_OPT_REAL:
        status = set_real(row, text, err);
        break;
    case FX_OPT_CHOICE:
    case FX_OPT_ENUM:
        status = set_choice(row, text, err);
        break;
    case FX_OPT_END:
        break;
    }
    if (status == FX_OK && row->given)
        *row->given = true;
    return status;
}

/* ---- the command line -------------------------------------------------------------------------
 */

static const struct fx_option *row_of(const struct row_table *table, int found)
{
    if (found >= LONG_BASE && found < LONG_BASE + table->n_rows)
        return table->rows[found - LONG_BASE];
    for (int i = 0; found != 0 && i < table->n_rows; i++)
        if (table->rows[i]->letter == found)
            return table->rows[i];
    return NULL;
}

/* "--lr: may be --lr-experts, --lr-fusion or --lr-head"; word is "--lr" or "--lr=VALUE". */
static enum fx_status unknown_word(const struct row_table *table, const char *word,
                                   struct fx_err *err)
{
    int n_word = (int)strcspn(word, "="), n_found = 0, last = 0;
    char names[NAMES_BYTES] = "";

    for (int i = 0; i < table->n_rows; i++)
        if (strncmp(table->rows[i]->name, word + 2, (size_t)n_word - 2) == 0) {
            n_found++;
            last = i;
        }
    for (int i = 0, n = 0; n < n_found; i++) {
        size_t at = strlen(names);
        if (strncmp(table->rows[i]->name, word + 2, (size_t)n_word - 2) != 0)
            continue;
        snprintf(names + at, sizeof names - at, "%s--%s",
                 n == 0      ? ""
                 : i == last ? " or "
                             : ", ",
                 table->rows[i]->name);
        n++;
    }
    if (n_found > 0)
        return fx_fail(err, FX_EUSAGE, "%.*s: may be %s", n_word, word, names);
    return fx_fail(err, FX_EUSAGE, "%.*s: no such option", n_word, word);
}

/* Says what getopt_long could not take; it left the culprit in optopt or just before optind. */
static enum fx_status bad_option(const struct row_table *table, int found, char **argv,
                                 struct fx_err *err)
{
    const struct fx_option *row = row_of(table, optopt);

    if (found == ':')
        return fx_fail(err, FX_EUSAGE, "--%s: needs a value %s", row->name, row->arg);
    if (row)
        return fx_fail(err, FX_EUSAGE, "--%s: takes no value", row->name);
    if (optopt != 0)
        return fx_fail(err, FX_EUSAGE, "-%c: no such option", optopt);
    return unknown_word(table, argv[optind - 1], err);
}

enum fx_status fx_option_parse(const struct fx_tool *tool, int argc, char **argv,
                               struct fx_option_shared *shared, int *n_operands, struct fx_err *err)
{
    const struct fx_option shared_rows[] = SHARED_ROWS(shared);
    struct row_table table = { .letters = ":" };
    int found;

    row_table_add(&table, tool->options);
    row_table_add(&table, shared_rows);
    *n_operands = 0;
    opterr = 0;
    optind = 0; /* glibc: start afresh, also when parsing twice in one process */
    while ((found = getopt_long(argc, argv, table.letters, table.longs, NULL)) != -1) {
        if (found == '?' || found == ':')
            return bad_option(&table, found, argv, err);
        FX_TRY(set_row(row_of(&table, found), optarg, err));
        if (shared->help || shared->version)
            return FX_OK;
    }
    *n_operands = argc - optind;
    memmove(argv, argv + optind, (size_t)(*n_operands + 1) * sizeof *argv);
    return FX_OK;
}

/* ---- --help -----------------------------------------------------------------------------------
 */

enum { HELP_INDENT_MAX = 32, HELP_COLUMNS = 79 };

/* Where the text must be cut to fit into n columns: behind a blank or before a '|'. */
static size_t cut_at(const char *text, size_t n)
{
    size_t at = n;

    if (strlen(text) <= n)
        return strlen(text);
    while (at > 0 && text[at] != ' ' && text[at] != '|')
        at--;
    return at > 0 ? at : strlen(text);
}

/* The rest of a line that begins at column indent, and its continuations below. */
static void help_text(const char *text, int indent, FILE *out)
{
    while (*text != '\0') {
        size_t n = cut_at(text, (size_t)(HELP_COLUMNS - indent));
        fprintf(out, "%.*s\n", (int)n, text);
        text += n;
        text += *text == ' ';
        if (*text != '\0')
            fprintf(out, "%*s", indent, "");
    }
}

/* "  -o, --output FILE" into buf; returns its length. */
static int help_left(const struct fx_option *row, char *buf, size_t n)
{
    char letter[5] = "    ";

    if (row->letter != 0)
        snprintf(letter, sizeof letter, "-%c, ", row->letter);
    return snprintf(buf, n, "  %s--%s%s%s", letter, row->name, row->arg ? " " : "",
                    row->arg ? row->arg : "");
}

static void help_row(const struct fx_option *row, int indent, FILE *out)
{
    char left[128];
    int n_left = help_left(row, left, sizeof left);

    if (n_left + 2 <= indent)
        fprintf(out, "%-*s", indent, left);
    else
        fprintf(out, "%s\n%*s", left, indent, "");
    help_text(row->help, indent, out);
    if (row->choices) {
        fprintf(out, "%*s", indent, "");
        help_text(row->choices, indent, out);
    }
}

void fx_option_help(const struct fx_tool *tool, FILE *out)
{
    struct fx_option_shared shared = { 0 };
    const struct fx_option shared_rows[] = SHARED_ROWS(&shared);
    struct row_table table = { .letters = ":" };
    int indent = 0;

    row_table_add(&table, tool->options);
    row_table_add(&table, shared_rows);
    for (int i = 0; i < table.n_rows; i++) {
        char left[128];
        int n_left = help_left(table.rows[i], left, sizeof left) + 2;
        if (n_left > indent && n_left <= HELP_INDENT_MAX)
            indent = n_left;
    }
    fprintf(out, "Usage: %s ", tool->name);
    help_text(tool->synopsis, (int)strlen("Usage: ") + (int)strlen(tool->name) + 1, out);
    help_text(tool->summary, 0, out);
    fprintf(out, "\nOptions:\n");
    for (int i = 0; i < table.n_rows; i++)
        help_row(table.rows[i], indent, out);
    if (tool->notes)
        fprintf(out, "\n%s", tool->notes);
    fprintf(out, "\nExample:\n  %s\n", tool->example);
}
