/* runs-report: a directory of runs in, one HTML page about them out. */
#include "base/io.h"
#include "base/log.h"
#include "base/tool.h"
#include "track/report.h"

#include <stdio.h>
#include <stdlib.h>

struct args {
    const char *dir, *output, *title;
};

/* The page is made in memory, so that nothing of it is written when something fails. */
static enum fx_status write_page(const struct args *args, const struct fx_runs *runs,
                                 struct fx_output *out, struct fx_err *err)
{
    char *text = NULL;
    size_t n = 0;
    FILE *page = fx_memory_stream(&text, &n);

    if (!page)
        return fx_fail(err, FX_EFAIL, "out of memory for the page");
    bool failed = !fx_report_write(page, args->title, runs);
    failed |= fclose(page) != 0;
    enum fx_status status =
        failed ? fx_fail(err, FX_EFAIL, "out of memory for the page")
               : fx_write_full(out->fd, text, n, out->is_stdout ? "stdout" : out->path, err);
    free(text);
    return status;
}

/* A file that is no metrics stream is named on the page; one that could not be read is no result.
 */
static enum fx_status check(const struct fx_runs *runs, struct fx_err *err)
{
    for (size_t i = 0; i < runs->n; i++) {
        if (runs->run[i].state != FX_RUN_BROKEN)
            continue;
        if (runs->run[i].why.status != FX_EINPUT) {
            *err = runs->run[i].why;
            return err->status;
        }
        fx_log_warn("%s", runs->run[i].why.msg);
    }
    return FX_OK;
}

static enum fx_status run(const struct args *args, struct fx_err *err)
{
    struct fx_runs runs = { 0 };
    struct fx_output out = { .fd = -1 };
    enum fx_status status;

    FX_TRY_OUT(fx_runs_scan(&runs, args->dir, err));
    if (runs.n == 0) {
        status = fx_fail(err, FX_EINPUT, "%s: no runs below it: no history.jsonl, no metrics.jsonl",
                         args->dir);
        goto out;
    }
    FX_TRY_OUT(check(&runs, err));
    FX_TRY_OUT(fx_output_open(&out, args->output, false, err));
    FX_TRY_OUT(write_page(args, &runs, &out, err));
    FX_TRY_OUT(fx_output_commit(&out, err));
    fx_log_verbose("%zu runs", runs.n);
out:
    fx_output_abandon(&out);
    fx_runs_fini(&runs);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = { .title = "Runs" };
    const struct fx_option options[] = {
        FX_OPTION_OUTPUT(&args.output),
        { "title", 0, "TEXT", FX_OPT_STRING, &args.title, 0, 0, NULL,
          "title of the page (default Runs)", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "runs-report",
        .synopsis = "[options] DIR",
        .summary = "Write one HTML page about all runs below a directory: tables, learning curves, "
                   "configuration. It stands alone: no script and no other file.",
        .options = options,
        .example = "runs-report -o runs.html fusion_checkpoints/runs",
    };
    struct fx_err err = { 0 };

    int n_operands = fx_tool_start(&tool, argc, argv);
    args.dir = n_operands > 0 ? argv[0] : NULL;
    enum fx_status status = n_operands != 1
                                ? fx_fail(&err, FX_EUSAGE, "one directory of runs is needed")
                                : run(&args, &err);
    return fx_tool_exit(status, &err);
}
