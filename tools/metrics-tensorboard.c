/* metrics-tensorboard: the metrics of a run in, an event file of TensorBoard out. */
#include "base/tool.h"
#include "track/tensorboard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct args {
    const char *input; /* NULL: stdin */
    const char *dir;
    bool pass;
};

static enum fx_status run(const struct args *args, struct fx_err *err)
{
    bool is_stdin = !args->input || strcmp(args->input, "-") == 0;
    char *path = NULL;

    FILE *in = is_stdin ? stdin : fopen(args->input, "re");
    if (!in)
        return fx_fail_errno(err, "%s", args->input);
    enum fx_status status = fx_tensorboard(in, is_stdin ? "stdin" : args->input, args->dir,
                                           args->pass ? STDOUT_FILENO : -1, &path, err);
    if (status == FX_OK && !args->pass && fprintf(stdout, "%s\n", path) < 0)
        status = fx_fail_errno(err, "stdout");
    free(path);
    if (!is_stdin)
        fclose(in);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = { .dir = "." };
    const struct fx_option options[] = {
        { "dir", 'd', "DIR", FX_OPT_STRING, &args.dir, 0, 0, NULL,
          "write the event file into DIR, the run's own (default .)", NULL },
        { "pass", 0, NULL, FX_OPT_FLAG, &args.pass, 0, 0, NULL,
          "pass the metrics on to standard output, for the next tool of a pipe", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "metrics-tensorboard",
        .synopsis = "[options] [METRICS]",
        .summary = "Write the metrics of a run (JSON Lines) as an event file of TensorBoard, "
                   "record by record while it runs, and print its name.",
        .options = options,
        .example = "metrics-tensorboard -d tensorboard/first run/metrics.jsonl",
    };
    struct fx_err err = { 0 };

    int n_operands = fx_tool_start(&tool, argc, argv);
    args.input = n_operands > 0 ? argv[0] : NULL;
    enum fx_status status = n_operands > 1
                                ? fx_fail(&err, FX_EUSAGE, "%s: one stream at a time", argv[1])
                                : run(&args, &err);
    return fx_tool_exit(status, &err);
}
