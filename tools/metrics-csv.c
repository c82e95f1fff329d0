/* metrics-csv: the metrics of a run in, a CSV table out (metrics-csv(1)). */
#include "base/io.h"
#include "base/log.h"
#include "base/tool.h"
#include "track/metrics_csv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct args {
    const char *input; /* NULL: stdin */
    const char *output, *events;
};

static enum fx_status run(const struct args *args, struct fx_err *err)
{
    bool is_stdin = args->input == NULL || strcmp(args->input, "-") == 0;
    struct fx_output out = { .fd = -1 };
    int64_t n_rows;
    enum fx_status status;

    FILE *in = is_stdin ? stdin : fopen(args->input, "re");
    if (in == NULL)
        return fx_fail_errno(err, "%s", args->input);
    FX_TRY_OUT(fx_output_open(&out, args->output, false, err));
    FX_TRY_OUT(fx_metrics_csv(in, is_stdin ? "stdin" : args->input, args->events, out.fd,
                              out.is_stdout ? "stdout" : out.path, &n_rows, err));
    FX_TRY_OUT(fx_output_commit(&out, err));
    if (n_rows == 0)
        fx_log_warn("the stream has no %s event: the table has no rows", args->events);
    fx_log_verbose("%" PRId64 " rows", n_rows);
out:
    fx_output_abandon(&out);
    if (!is_stdin)
        fclose(in);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = { .events = "epoch" };
    const struct fx_option options[] = {
        FX_OPTION_OUTPUT(&args.output),
        { "events", 0, "NAME", FX_OPT_CHOICE, &args.events, 0, 0, "epoch|step|eval|end",
          "the events that make rows (default epoch)", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "metrics-csv",
        .synopsis = "[options] [METRICS]",
        .summary = "Turn the metrics of a run (JSON Lines) into a CSV table, row by row while it "
                   "runs.",
        .options = options,
        .example = "metrics-csv -o training_log.csv run/metrics.jsonl",
    };
    struct fx_err err = { 0 };

    int n_operands = fx_tool_start(&tool, argc, argv);
    args.input = n_operands > 0 ? argv[0] : NULL;
    enum fx_status status = n_operands > 1
                                ? fx_fail(&err, FX_EUSAGE, "%s: one stream at a time", argv[1])
                                : run(&args, &err);
    return fx_tool_exit(status, &err);
}
