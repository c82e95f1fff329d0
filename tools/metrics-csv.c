/* metrics-csv: the metrics of runs in, a CSV table out (metrics-csv(1)). */
#include "base/io.h"
#include "base/log.h"
#include "base/tool.h"
#include "track/metrics_csv.h"
#include "track/runs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

struct args {
    char **operands;
    size_t n_operands;
    const char *output, *events;
    bool live;
};

/* Where the metrics of an operand are, and what its run is called. */
struct source {
    char *path, *name; /* owned; path NULL: stdin */
};

/* All of them are open at a time: as many as the system allows. */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* "out/runs/a", "out/runs/a/" and "out/runs/a/metrics.jsonl" are the run "out/runs/a". */
static enum fx_status find(struct source *source, const char *operand, struct fx_err *err)
{
    if (strcmp(operand, "-") == 0) {
        source->name = strdup("stdin");
        return source->name ? FX_OK : fx_fail(err, FX_EFAIL, "stdin: out of memory");
    }
    FX_TRY(fx_run_file(operand, &source->path, err));
    source->name = fx_run_name(source->path);
    return source->name ? FX_OK : fx_fail(err, FX_EFAIL, "%s: out of memory", operand);
}

static enum fx_status open_run(struct fx_csv_run *run, struct source *source, const char *operand,
                               struct fx_err *err)
{
    FX_TRY(find(source, operand, err));
    run->in = !source->path ? stdin : fopen(source->path, "re");
    run->in_name = !source->path ? "stdin" : source->path;
    run->name = source->name;
    return run->in ? FX_OK : fx_fail_errno(err, "%s", source->path);
}

static enum fx_status check(const struct args *args, struct fx_err *err)
{
    size_t n_stdin = 0;

    for (size_t i = 0; i < args->n_operands; i++)
        n_stdin += strcmp(args->operands[i], "-") == 0;
    if (args->live && (!args->output || strcmp(args->output, "-") == 0))
        return fx_fail(err, FX_EUSAGE, "--live: which file? give -o FILE");
    return n_stdin <= 1 ? FX_OK : fx_fail(err, FX_EUSAGE, "-: standard input is one run only");
}

/* The table would take the place of the metrics that it is made of. */
static enum fx_status check_output(const struct args *args, const struct fx_csv_run *run,
                                   struct fx_err *err)
{
    struct stat out, in;

    if (args->output && stat(args->output, &out) == 0 && S_ISREG(out.st_mode) &&
        fstat(fileno(run->in), &in) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
        return fx_fail(err, FX_EUSAGE, "%s: is an input, too", args->output);
    return FX_OK;
}

static void report(const struct fx_csv_run *runs, size_t n_runs)
{
    for (size_t i = 0; i < n_runs; i++)
        if (runs[i].why.status != FX_OK)
            fx_log_error("%s", runs[i].why.msg);
}

static enum fx_status write_table(const struct args *args, struct fx_csv_run *runs,
                                  struct fx_err *err)
{
    struct fx_live_file live = { .path = args->output, .fd = -1 };
    struct fx_output file = { .fd = -1 };
    int64_t n_rows;

    if (!args->live)
        FX_TRY(fx_output_open(&file, args->output, false, err));
    const struct fx_csv_out out = { .fd = file.fd,
                                    .name = file.is_stdout ? "stdout" : args->output,
                                    .live = args->live ? &live : NULL };
    enum fx_status status =
        fx_metrics_csv(runs, args->n_operands, args->events, &out, &n_rows, err);
    if (status == FX_EINPUT) {
        report(runs, args->n_operands);
        err->msg[0] = '\0'; /* all is said */
    }
    if (status == FX_OK)
        status = args->live ? fx_live_finish(&live, err) : fx_output_commit(&file, err);
    if (status == FX_OK && n_rows == 0)
        fx_log_warn("there is no %s event: the table has no rows", args->events);
    fx_log_verbose("%" PRId64 " rows", n_rows);
    fx_output_abandon(&file);
    fx_live_close(&live);
    return status;
}

static enum fx_status run(const struct args *args, struct fx_err *err)
{
    struct fx_csv_run *runs = calloc(args->n_operands, sizeof *runs);
    struct source *sources = calloc(args->n_operands, sizeof *sources);
    enum fx_status status;

    if (!runs || !sources) {
        status = fx_fail(err, FX_EFAIL, "out of memory");
        goto out;
    }
    raise_file_limit();
    FX_TRY_OUT(check(args, err));
    for (size_t i = 0; i < args->n_operands; i++) {
        FX_TRY_OUT(open_run(&runs[i], &sources[i], args->operands[i], err));
        FX_TRY_OUT(check_output(args, &runs[i], err));
    }
    status = write_table(args, runs, err);
out:
    for (size_t i = 0; i < args->n_operands && runs && sources; i++) {
        if (runs[i].in && runs[i].in != stdin)
            fclose(runs[i].in);
        free(sources[i].path);
        free(sources[i].name);
    }
    free(sources);
    free(runs);
    return status;
}

int main(int argc, char **argv)
{
    char dash[] = "-", *standard_input[] = { dash };
    struct args args = { .events = "epoch" };
    const struct fx_option options[] = {
        FX_OPTION_OUTPUT(&args.output),
        { "events", 0, "NAME", FX_OPT_CHOICE, &args.events, 0, 0,
          "epoch|step|eval|class|superclass|bin|ood|corruption|robustness|attack|end",
          "the events that make rows (default epoch)", NULL },
        { "live", 0, NULL, FX_OPT_FLAG, &args.live, 0, 0, NULL,
          "with -o: write FILE row by row; rows already in it are kept", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "metrics-csv",
        .synopsis = "[options] [METRICS|RUN...]",
        .summary = "Turn the metrics of runs (JSON Lines, or the directories of the runs) into a "
                   "CSV table, row by row while they run.",
        .options = options,
        .example = "metrics-csv -o training_log.csv run/metrics.jsonl",
    };
    struct fx_err err = { 0 };

    int n_operands = fx_tool_start(&tool, argc, argv);
    args.operands = n_operands > 0 ? argv : standard_input;
    args.n_operands = n_operands > 0 ? (size_t)n_operands : 1;
    return fx_tool_exit(run(&args, &err), &err);
}
