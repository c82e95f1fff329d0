/* metrics-wandb: the metrics of a run in, an offline run of Weights & Biases out. */
#include "base/env.h"
#include "base/tool.h"
#include "track/wandb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct args {
    const char *input; /* NULL: stdin */
    struct fx_wandb_options options;
    bool pass;
};

static void fall_back(const char **option, const char *variable, const char *otherwise)
{
    if (!*option)
        *option = fx_env(variable);
    if (!*option)
        *option = otherwise;
}

static void look_at_environment(struct fx_wandb_options *options)
{
    const char *mode = fx_env("WANDB_MODE");

    options->is_disabled = mode && strcmp(mode, "disabled") == 0;
    fall_back(&options->dir, "WANDB_DIR", ".");
    fall_back(&options->project, "WANDB_PROJECT", NULL);
    fall_back(&options->entity, "WANDB_ENTITY", NULL);
    fall_back(&options->name, "WANDB_NAME", NULL);
    fall_back(&options->group, "WANDB_RUN_GROUP", NULL);
    fall_back(&options->tags, "WANDB_TAGS", NULL);
    fall_back(&options->run_id, "WANDB_RUN_ID", NULL);
    fall_back(&options->job_type, "WANDB_JOB_TYPE", NULL);
    fall_back(&options->notes, "WANDB_NOTES", NULL);
}

static enum fx_status run(struct args *args, struct fx_err *err)
{
    bool is_stdin = !args->input || strcmp(args->input, "-") == 0;
    char *run_dir = NULL;

    look_at_environment(&args->options);
    FILE *in = is_stdin ? stdin : fopen(args->input, "re");
    if (!in)
        return fx_fail_errno(err, "%s", args->input);
    enum fx_status status = fx_wandb(in, is_stdin ? "stdin" : args->input, &args->options,
                                     args->pass ? STDOUT_FILENO : -1, &run_dir, err);
    if (status == FX_OK && !args->pass && run_dir && fprintf(stdout, "%s\n", run_dir) < 0)
        status = fx_fail_errno(err, "stdout");
    free(run_dir);
    if (!is_stdin)
        fclose(in);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = { 0 };
    struct fx_wandb_options *o = &args.options;
    const struct fx_option options[] = {
        { "dir", 'd', "DIR", FX_OPT_STRING, &o->dir, 0, 0, NULL,
          "write below DIR/wandb (default $WANDB_DIR, or .)", NULL },
        { "pass", 0, NULL, FX_OPT_FLAG, &args.pass, 0, 0, NULL,
          "pass the metrics on to standard output, for the next tool of a pipe", NULL },
        { "project", 0, "NAME", FX_OPT_STRING, &o->project, 0, 0, NULL,
          "project (default $WANDB_PROJECT, or that of the family)", NULL },
        { "entity", 0, "NAME", FX_OPT_STRING, &o->entity, 0, 0, NULL,
          "user or team (default $WANDB_ENTITY)", NULL },
        { "name", 0, "NAME", FX_OPT_STRING, &o->name, 0, 0, NULL,
          "name to show (default $WANDB_NAME, the task, or what is trained)", NULL },
        { "group", 0, "NAME", FX_OPT_STRING, &o->group, 0, 0, NULL,
          "group of runs (default $WANDB_RUN_GROUP)", NULL },
        { "tags", 0, "A,B", FX_OPT_STRING, &o->tags, 0, 0, NULL,
          "tags, joined by commas (default $WANDB_TAGS)", NULL },
        { "run-id", 0, "ID", FX_OPT_STRING, &o->run_id, 0, 0, NULL,
          "run id (default $WANDB_RUN_ID, or made from the start event)", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "metrics-wandb",
        .synopsis = "[options] [METRICS]",
        .summary = "Write the metrics of a run (JSON Lines) as an offline run of Weights & Biases, "
                   "record by record while it runs, and print its folder, for wandb sync.",
        .options = options,
        .example = "metrics-wandb -d logs run/metrics.jsonl",
    };
    struct fx_err err = { 0 };

    int n_operands = fx_tool_start(&tool, argc, argv);
    args.input = n_operands > 0 ? argv[0] : NULL;
    enum fx_status status = n_operands > 1
                                ? fx_fail(&err, FX_EUSAGE, "%s: one stream at a time", argv[1])
                                : run(&args, &err);
    return fx_tool_exit(status, &err);
}
