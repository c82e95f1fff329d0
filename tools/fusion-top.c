/* fusion-top: the runs below a directory, watched in the terminal, or once as a table. */
#include "base/env.h"
#include "base/screen.h"
#include "base/tool.h"
#include "track/top.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CTRL_C = 3 };

struct args {
    const char *dir;
    bool once;
    double interval; /* seconds */
};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_REALTIME, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* The locale's characters, as setlocale(3) would choose them. */
static bool is_utf8(void)
{
    static const char *const variables[] = { "LC_ALL", "LC_CTYPE", "LANG" };
    const char *locale = NULL;

    for (size_t i = 0; i < 3 && locale == NULL; i++)
        locale = fx_env(variables[i]);
    return locale != NULL && (strcasestr(locale, "utf-8") != NULL || strcasestr(locale, "utf8"));
}

/* A screenful: a line about all runs, an empty one, the table. */
static enum fx_status draw(const struct args *args, const struct fx_runs *runs, struct fx_err *err)
{
    struct fx_top_look look = { .colour = fx_env("NO_COLOR") == NULL, .unicode = is_utf8() };
    char *text = NULL, clock[16];
    size_t n = 0;
    time_t seconds = (time_t)now();
    struct tm local;
    FILE *out = open_memstream(&text, &n);

    if (out == NULL)
        return fx_fail(err, FX_EFAIL, "out of memory");
    fx_screen_size(&look.n_columns, &look.n_lines);
    look.n_lines -= 2;
    localtime_r(&seconds, &local);
    strftime(clock, sizeof clock, "%H:%M:%S", &local);
    fprintf(out, "fusion-top  %s  %s  ", args->dir, clock);
    fx_top_count(out, runs);
    fputs("  (q: quit)\n\n", out);
    fx_top_write(out, runs, &look, now());
    enum fx_status status =
        fclose(out) == 0 ? fx_screen_draw(text, n, err) : fx_fail(err, FX_EFAIL, "out of memory");
    free(text);
    return status;
}

static enum fx_status watch(const struct args *args, struct fx_runs *runs, struct fx_err *err)
{
    double next = 0;

    for (;;) {
        if (now() >= next) {
            FX_TRY(fx_runs_scan(runs, args->dir, err));
            next = now() + args->interval;
        }
        FX_TRY(draw(args, runs, err));
        double wait = next - now();
        int key = fx_screen_wait(wait > 0 ? (int)(1000 * wait) + 1 : 0);
        if (key == 'q' || key == 'Q' || key == CTRL_C)
            return FX_OK;
        if (key == ' ')
            next = 0;
    }
}

static enum fx_status run(const struct args *args, struct fx_err *err)
{
    static const struct fx_top_look plain = { 0 };
    struct fx_runs runs = { 0 };

    enum fx_status status = fx_runs_scan(&runs, args->dir, err);
    if (status == FX_OK && !args->once && fx_screen_wanted()) {
        status = fx_screen_open(err);
        if (status == FX_OK)
            status = watch(args, &runs, err);
        fx_screen_close();
    } else if (status == FX_OK) {
        fx_top_write(stdout, &runs, &plain, now());
    }
    fx_runs_fini(&runs);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = { .dir = ".", .interval = 2 };
    const struct fx_option options[] = {
        { "once", 0, NULL, FX_OPT_FLAG, &args.once, 0, 0, NULL,
          "print the table once, also on a terminal", NULL },
        { "interval", 0, "SECONDS", FX_OPT_REAL, &args.interval, 0.1, 3600, NULL,
          "look again after SECONDS (default 2)", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "fusion-top",
        .synopsis = "[options] [DIR]",
        .summary = "Show all runs below a directory: state, epoch, loss, accuracies, speed, time "
                   "left. On a terminal the view is kept up to date; q quits.",
        .options = options,
        .example = "fusion-top fusion_checkpoints",
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
