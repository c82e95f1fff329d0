/* expert-train: a data set goes in, one trained expert and its metrics come out.
 *
 * The same loop as fusion-train, with one expert, no fusion module, and the recipe that the
 * original trained its experts with. */
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/number.h"
#include "base/stop.h"
#include "base/tool.h"
#include "checkpoint/component.h"
#include "config/train_options.h"
#include "net/arch.h"
#include "run/finished.h"
#include "run/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct args {
    struct fx_train_args train;
    const char *output; /* NULL: the checkpoint in the directory is enough */
};

/* Everything a run is made of; zeroed, then opened in order. */
struct inputs {
    struct fx_dataset dataset;
    struct fx_tensor_file nothing; /* an expert starts from the seed */
    struct fx_graph graph;
    int64_t *images; /* owned */
};

static void inputs_close(struct inputs *in)
{
    free(in->images);
    fx_graph_fini(&in->graph);
    fx_dataset_close(&in->dataset);
}

static enum fx_status build(const struct args *args, struct inputs *in, int n_classes,
                            struct fx_err *err)
{
    struct fx_model_config model = { .arch = args->train.settings.arch,
                                     .n_experts = 1,
                                     .n_classes = n_classes,
                                     .expert_dropout = args->train.settings.expert_dropout };

    FX_TRY(fx_model_build(&in->graph, &model, err));
    in->graph.averages = args->train.settings.ema > 0;
    return FX_OK;
}

/* Which images train, choose and test. */
static enum fx_status choose_images(const struct args *args, struct inputs *in,
                                    struct fx_run_plan *plan, struct fx_err *err)
{
    const struct fx_settings *settings = &args->train.settings;
    bool by_test = settings->val == FX_VAL_TEST, is_single = settings->expert == FX_EXPERT_ALL;
    struct fx_index_list none = { 0 };
    int number = settings->expert;

    if (fx_subset_find(&in->dataset, by_test ? "test" : "val", settings->val_limit, &plan->val,
                       err) != FX_OK)
        return fx_err_prepend(err, "--val %s: ", by_test ? "test" : "holdout");
    FX_TRY(fx_subset_find(&in->dataset, "test", settings->val_limit, &plan->test, err));
    if (is_single && settings->share != FX_SHARE_OWN)
        return fx_fail(err, FX_EUSAGE, "--share: of expert K; --expert all has all images");
    if (is_single || settings->share == FX_SHARE_ALL) {
        FX_TRY(fx_index_but(&in->dataset, by_test ? none : in->dataset.val, &in->images,
                            &plan->images.n, err));
        plan->images.values = in->images;
        return FX_OK;
    }
    if (settings->share == FX_SHARE_POOL) {
        plan->images = in->dataset.expert_pool;
        return plan->images.n > 0 ? FX_OK
                                  : fx_fail(err, FX_EUSAGE, "--share pool: the pool of %s is empty",
                                            args->train.data);
    }
    if (number >= in->dataset.n_experts)
        return fx_fail(err, FX_EUSAGE, "--expert %d: %s has the shares of %d experts", number,
                       args->train.data, in->dataset.n_experts);
    if (in->dataset.expert[number].n == 0)
        return fx_fail(err, FX_EUSAGE, "--expert %d: its share of %s is empty; --expert all",
                       number, args->train.data);
    plan->images = in->dataset.expert[number];
    return FX_OK;
}

static void announce(const struct args *args, const struct fx_run_plan *plan)
{
    const struct fx_settings *s = &args->train.settings;
    char rate[FX_NUMBER_BYTES], summary[FX_SETTINGS_SUMMARY_BYTES], expert[FX_WORD_BYTES];

    fx_log_info("expert %s: %s", fx_setting_word(s, FX_SET_expert, expert), s->arch);
    fx_log_info("data %s: %lld images to train on; %s %lld %s; %lld test images", args->train.data,
                (long long)plan->images.n, fx_settings_choice(s), (long long)plan->val.n,
                s->val == FX_VAL_TEST ? "TEST images" : "images of the holdout",
                (long long)plan->test.n);
    fx_log_info("rate %s, %s", fx_number_text(s->lr_experts, rate, sizeof rate),
                fx_settings_summary(s, summary));
}

static enum fx_status write_expert(const struct args *args, const struct inputs *in,
                                   struct fx_err *err)
{
    char best[4096];

    if (!args->output)
        return FX_OK;
    snprintf(best, sizeof best, "%s/best.safetensors", args->train.run.checkpoint_dir);
    return fx_export_expert(best, &in->graph, args->output, err);
}

/* --finished: the settings as a training would have them, compared with the run that is there. */
static enum fx_status finished(struct args *args, struct inputs *in, struct fx_err *err)
{
    FX_TRY(fx_train_check(&args->train, err));
    FX_TRY(fx_finished_precision(&args->train.settings.precision, args->train.run.checkpoint_dir,
                                 args->train.run.device, err));
    if (args->train.data)
        FX_TRY(fx_dataset_open(&in->dataset, args->train.data, err));
    args->train.settings.data_digest = in->dataset.digest;
    return fx_finished_say(args->train.run.checkpoint_dir, &args->train.settings, err);
}

/* --print-schedule, with the images that have been seen where a data set is named. */
static enum fx_status print_schedule(const struct args *args, struct inputs *in, struct fx_err *err)
{
    struct fx_run_plan plan = { 0 };

    if (args->train.data) {
        FX_TRY(fx_dataset_open(&in->dataset, args->train.data, err));
        FX_TRY(choose_images(args, in, &plan, err));
    }
    fx_print_schedule(&args->train.settings, plan.images.n, stdout);
    return FX_OK;
}

static enum fx_status train(struct args *args, struct inputs *in, struct fx_err *err)
{
    struct fx_settings *settings = &args->train.settings;
    struct fx_run_plan plan = {
        .settings = settings, .dataset = &in->dataset, .graph = &in->graph, .initial = &in->nothing
    };

    fx_log_info("%s", fx_tool_command_line());
    FX_TRY(fx_train_check(&args->train, err));
    FX_TRY(fx_finished_precision(&args->train.settings.precision, args->train.run.checkpoint_dir,
                                 args->train.run.device, err));
    FX_TRY(fx_dataset_open(&in->dataset, args->train.data, err));
    FX_TRY(build(args, in, in->dataset.n_classes, err));
    settings->data_digest = in->dataset.digest;
    FX_TRY(choose_images(args, in, &plan, err));
    announce(args, &plan);
    FX_TRY(fx_train(&plan, &args->train.run, err));
    return write_expert(args, in, err);
}

/* A file that cannot be written is noticed before the work. */
static enum fx_status try_output(const char *path, struct fx_err *err)
{
    struct fx_output out;

    if (!path)
        return FX_OK;
    if (strcmp(path, "-") == 0)
        return fx_fail(err, FX_EUSAGE, "-o -: standard output carries the metrics; name a file");
    FX_TRY(fx_output_open(&out, path, true, err));
    fx_output_abandon(&out);
    return FX_OK;
}

static enum fx_status check(const struct args *args, struct fx_err *err)
{
    const struct fx_settings *settings = &args->train.settings;

    if (!settings->arch)
        return fx_fail(err, FX_EUSAGE, "--arch NAME is required");
    if (settings->expert == FX_NONE)
        return fx_fail(err, FX_EUSAGE, "--expert K or --expert all is required");
    if (strchr(settings->arch, ';'))
        return fx_fail(err, FX_EUSAGE, "--arch %s: one expert has one architecture",
                       settings->arch);
    return try_output(args->output, err);
}

static enum fx_status run(struct args *args, struct fx_err *err)
{
    struct inputs in = { 0 };
    double start = fx_seconds();
    enum fx_status status;

    fx_stop_catch();
    fx_log_set_task(args->train.run.task);
    FX_TRY(check(args, err));
    FX_TRY(fx_recipe_expert(&args->train.settings, &args->train.given, err));
    FX_TRY(fx_train_check_patience(&args->train, err));
    if (args->train.print_schedule) {
        status = print_schedule(args, &in, err);
        inputs_close(&in);
        return status;
    }
    status = args->train.finished ? finished(args, &in, err) : train(args, &in, err);
    inputs_close(&in);
    if (args->train.finished)
        return status;
    if (status == FX_OK || status == FX_ESTOPPED || status == FX_EDIVERGED)
        fx_log_usage(fx_seconds() - start);
    return status;
}

static void fill_rows(struct fx_option *rows, struct args *args)
{
    rows[0] = (struct fx_option){ "output",
                                  'o',
                                  "FILE",
                                  FX_OPT_STRING,
                                  &args->output,
                                  0,
                                  0,
                                  NULL,
                                  "write the best expert to FILE at the end: .pth or .safetensors",
                                  NULL };
    fx_train_rows(rows, 1, &args->train, FX_OF_EXPERT);
}

int main(int argc, char **argv)
{
    struct args args = { 0 };
    struct fx_option rows[FX_TRAIN_ROWS_MAX];
    const struct fx_tool tool = {
        .name = "expert-train",
        .synopsis = "--arch NAME --expert K --data FILE --checkpoint-dir DIR [options]",
        .summary = "Train one expert on its share of the data set, or one network on all of it. "
                   "Writes metrics (JSON Lines) to standard output and checkpoints to DIR.",
        .options = rows,
        .notes = fx_arch_help(),
        .example = "expert-train --arch resnet18 --expert 0 --data cifar100.safetensors \\\n"
                   "    --checkpoint-dir expert_0 -o expert_0_best.pth > expert_0.jsonl",
        .built_with = fx_train_built_with(),
    };
    struct fx_err err = { 0 };

    fx_train_args_init(&args.train, "expert-train", FX_OF_EXPERT);
    fill_rows(rows, &args);
    int n_operands = fx_tool_start(&tool, argc, argv);
    enum fx_status status = n_operands > 0
                                ? fx_fail(&err, FX_EUSAGE, "%s: unexpected operand", argv[0])
                                : run(&args, &err);
    return fx_tool_exit(status, &err);
}
