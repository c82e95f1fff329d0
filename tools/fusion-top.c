/* fusion-top: the runs below a directory, watched in the terminal, or once as a table. */
#include "base/env.h"
#include "base/log.h"
#include "base/io.h"
#include "base/utf8.h"
#include "base/screen.h"
#include "base/tool.h"
#include "track/top.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { HEAD_LINES = 2, FILTER_BYTES = 128 };

struct args {
    const char *dir, *key, *filter;
    bool once, reverse;
    double interval; /* seconds */
};

/* What a person at the keyboard changes. */
struct watch {
    const struct args *args;
    struct fx_runs runs;
    struct fx_top_view view;
    char filter[FILTER_BYTES];
    bool is_typing;  /* the filter */
    bool is_waiting; /* for the directory */
};

static double seconds_of(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* What ages and times left are told by; it may be set back, so nothing waits by it. */
static double now(void)
{
    return seconds_of(CLOCK_REALTIME);
}

static double ticks(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

/* The locale's characters, as setlocale(3) would choose them. */
static bool is_utf8(void)
{
    static const char *const variables[] = { "LC_ALL", "LC_CTYPE", "LANG" };
    const char *locale = NULL;

    for (size_t i = 0; i < 3 && !locale; i++)
        locale = fx_env(variables[i]);
    return locale && (strcasestr(locale, "utf-8") || strcasestr(locale, "utf8"));
}

/* ---- the screen ------------------------------------------------------------------------------ */

static void put_heading(FILE *out, const struct watch *w)
{
    time_t seconds = (time_t)now();
    struct tm local;
    char clock[16];

    localtime_r(&seconds, &local);
    strftime(clock, sizeof clock, "%H:%M:%S", &local);
    fputs("fusion-top  ", out);
    fx_quote_put(out, w->args->dir);
    fprintf(out, "  %s  ", clock);
    fx_top_count(out, &w->runs);
}

/* What is shown of how many, and the keys that change it. */
static void put_state(FILE *out, const struct watch *w)
{
    const struct fx_top_view *view = &w->view;

    if (w->is_typing || w->filter[0] != '\0') {
        fputs("filter: ", out);
        fx_quote_put(out, w->filter);
        fputs(w->is_typing ? "_  (Enter: keep, Esc: all runs)" : "  ", out);
    }
    if (w->is_typing)
        return;
    if (view->n_shown < view->n_matching)
        fprintf(out, "%zu-%zu of %zu  ", view->first + (view->n_shown > 0),
                view->first + view->n_shown, view->n_matching);
    fprintf(out, "by %s%s  ", view->key, view->is_reversed ? ", reversed" : "");
    fputs("(q: quit, s: sort, r: reverse, /: filter, arrows)", out);
}

static void put_nothing(FILE *out, const struct watch *w)
{
    if (w->runs.n > 0) {
        fputs("no run has this in its name\n", out);
        return;
    }
    fputs(w->is_waiting ? "waiting for " : "no runs below ", out);
    fx_quote_put(out, w->args->dir);
    fputs(w->is_waiting ? ": there is no such directory yet\n" : "\n", out);
}

/* Cuts a line down to the width of the screen. */
static void put_line(FILE *out, const char *text, int n_columns)
{
    uint32_t code;

    for (int i = 0; i < n_columns && *text != '\0'; i++) {
        size_t n = fx_utf8_next(text, &code);
        fwrite(text, 1, n, out);
        text += n;
    }
    fputc('\n', out);
}

typedef void put_part(FILE *out, const struct watch *w);

static bool put_head(FILE *out, const struct watch *w, put_part *part)
{
    char *text = NULL;
    size_t n = 0;
    FILE *line = fx_memory_stream(&text, &n);

    if (!line)
        return false;
    part(line, w);
    bool is_good = fclose(line) == 0;
    if (is_good)
        put_line(out, text, w->view.n_columns);
    free(text);
    return is_good;
}

/* A screenful: a line about all runs, one about what is shown, the table. */
static enum fx_status draw(struct watch *w, struct fx_err *err)
{
    char *text = NULL, *table = NULL;
    size_t n = 0, n_table = 0;
    FILE *out = fx_memory_stream(&text, &n), *rows = fx_memory_stream(&table, &n_table);

    if (out && rows) {
        fx_screen_size(&w->view.n_columns, &w->view.n_lines);
        w->view.n_lines -= w->view.n_lines > HEAD_LINES ? HEAD_LINES : 0;
        fx_top_write(rows, &w->runs, &w->view, now());
        if (w->view.n_matching == 0)
            put_nothing(rows, w);
    }
    bool failed = !out || !rows || fclose(rows) != 0 || !put_head(out, w, put_heading) ||
                  !put_head(out, w, put_state);
    if (!failed)
        fwrite(table, 1, n_table, out);
    failed |= !out || fclose(out) != 0;
    enum fx_status status =
        failed ? fx_fail(err, FX_EFAIL, "out of memory") : fx_screen_draw(text, n, err);
    free(text);
    free(table);
    return status;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void type(struct watch *w, int key)
{
    size_t n = strlen(w->filter);

    if (key == FX_KEY_ENTER || key == FX_KEY_ESCAPE) {
        w->is_typing = false;
        if (key == FX_KEY_ESCAPE)
            w->filter[0] = '\0';
    } else if (key == FX_KEY_BACKSPACE || key == FX_KEY_DELETE) {
        while (n > 0 && ((unsigned char)w->filter[n - 1] & 0xc0) == 0x80)
            n--;
        w->filter[n > 0 ? n - 1 : 0] = '\0';
    } else if (key >= ' ' && key < FX_KEY_UP && n + 1 < sizeof w->filter) {
        w->filter[n] = (char)key;
        w->filter[n + 1] = '\0';
    }
}

static void scroll(struct fx_top_view *view, int key)
{
    size_t page = view->n_shown > 1 ? view->n_shown - 1 : 1, first = view->first;

    if (key == FX_KEY_DOWN || key == 'j')
        first++;
    else if (key == FX_KEY_UP || key == 'k')
        first -= first > 0;
    else if (key == FX_KEY_PAGE_DOWN)
        first += page;
    else if (key == FX_KEY_PAGE_UP)
        first -= first < page ? first : page;
    else if (key == FX_KEY_HOME || key == 'g')
        first = 0;
    else if (key == FX_KEY_END || key == 'G')
        first = view->n_matching;
    view->first = first; /* fx_top_write knows where the end is */
}

/* False: that was the last key. */
static bool obey(struct watch *w, int key)
{
    if (key == FX_KEY_CTRL_C || key == FX_KEY_GONE)
        return false;
    if (key == FX_KEY_CTRL_Z) {
        raise(SIGTSTP);
    } else if (w->is_typing) {
        type(w, key);
    } else if (key == 'q' || key == 'Q') {
        return false;
    } else if (key == 's') {
        w->view.key = fx_top_next_key(w->view.key);
    } else if (key == 'r') {
        w->view.is_reversed = !w->view.is_reversed;
    } else if (key == '/') {
        w->is_typing = true;
    } else if (key == FX_KEY_ESCAPE) {
        w->filter[0] = '\0';
    } else {
        scroll(&w->view, key);
    }
    return true;
}

/* ---- watching -------------------------------------------------------------------------------- */

/* A directory that is not there yet, or not any more, has no runs. */
static enum fx_status look(struct watch *w, struct fx_err *err)
{
    struct stat st;
    enum fx_status status = fx_runs_scan(&w->runs, w->args->dir, err);

    w->is_waiting = status != FX_OK && stat(w->args->dir, &st) != 0 && errno == ENOENT;
    if (!w->is_waiting)
        return status;
    fx_runs_fini(&w->runs);
    return FX_OK;
}

static enum fx_status watch(struct watch *w, struct fx_err *err)
{
    double next = 0;

    for (;;) {
        if (ticks() >= next) {
            FX_TRY(look(w, err));
            next = ticks() + w->args->interval;
        }
        FX_TRY(draw(w, err));
        double wait = next - ticks();
        int key = fx_screen_wait(wait > 0 ? (int)(1000 * wait) + 1 : 0);
        if (key == ' ' && !w->is_typing)
            next = 0;
        if (!obey(w, key))
            return FX_OK;
    }
}

static enum fx_status print_once(struct watch *w, struct fx_err *err)
{
    FX_TRY(fx_runs_scan(&w->runs, w->args->dir, err));
    fx_top_write(stdout, &w->runs, &w->view, now());
    if (w->runs.n == 0)
        fx_log_warn("no runs below %s", w->args->dir);
    return FX_OK;
}

static enum fx_status run(const struct args *args, struct fx_err *err)
{
    struct watch w = { .args = args };
    enum fx_status status;

    if (strlen(args->filter) >= sizeof w.filter)
        return fx_fail(err, FX_EUSAGE, "--filter: at most %zu bytes", sizeof w.filter - 1);
    snprintf(w.filter, sizeof w.filter, "%s", args->filter);
    w.view =
        (struct fx_top_view){ .key = args->key, .is_reversed = args->reverse, .filter = w.filter };
    if (args->once || !fx_screen_wanted()) {
        status = print_once(&w, err);
    } else {
        w.view.colour = !fx_env("NO_COLOR");
        w.view.unicode = is_utf8();
        status = fx_screen_open(err);
        if (status == FX_OK)
            status = watch(&w, err);
        fx_screen_close();
    }
    fx_runs_fini(&w.runs);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = { .dir = ".", .key = "state", .filter = "", .interval = 2 };
    const struct fx_option options[] = {
        { "once", 0, NULL, FX_OPT_FLAG, &args.once, 0, 0, NULL,
          "print the table once, also on a terminal", NULL },
        { "interval", 0, "SECONDS", FX_OPT_REAL, &args.interval, 0.1, 3600, NULL,
          "look again after SECONDS (default 2)", NULL },
        { "sort", 0, "KEY", FX_OPT_CHOICE, &args.key, 0, 0, FX_TOP_KEYS,
          "order the runs by KEY, the best first (default state)", NULL },
        { "reverse", 0, NULL, FX_OPT_FLAG, &args.reverse, 0, 0, NULL, "the other way round", NULL },
        { "filter", 0, "TEXT", FX_OPT_STRING, &args.filter, 0, 0, NULL,
          "only runs with TEXT in their names, in upper or lower case", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "fusion-top",
        .synopsis = "[options] [DIR]",
        .summary = "Show all runs below a directory: state, epoch, loss, accuracies, speed, time "
                   "left. On a terminal the view is kept up to date; q quits.",
        .options = options,
        .example = "fusion-top --sort best fusion_checkpoints",
    };
    struct fx_err err = { 0 };

    int n_operands = fx_tool_start(&tool, argc, argv);
    if (n_operands > 0)
        args.dir = argv[0];
    enum fx_status status = n_operands > 1
                                ? fx_fail(&err, FX_EUSAGE, "%s: one directory at a time", argv[1])
                                : run(&args, &err);
    return fx_tool_exit(status, &err);
}
