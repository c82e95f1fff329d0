/* fusion-train: experts and a data set go in, metrics and a directory of checkpoints come out. */
#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "base/stop.h"
#include "base/tool.h"
#include "base/words.h"
#include "checkpoint/checkpoint.h"
#include "config/train_options.h"
#include "net/arch.h"
#include "net/fusion.h"
#include "run/finished.h"
#include "run/run.h"

#include <stdlib.h>
#include <string.h>

struct args {
    struct fx_train_args train;
    const char *experts; /* NULL or "-": stdin */
    const char *output;  /* NULL: stdout */
    const char *arch;    /* for the two tables below, without experts */
    char archs[FX_ARCH_LIST_BYTES];
    int64_t n_experts; /* with arch */
    bool has_count;
    bool print_shapes;
};

/* Everything a run is made of; zeroed, then opened in order. */
struct inputs {
    struct fx_dataset dataset;
    struct fx_tensor_file experts;
    struct fx_checkpoint_info info;
    struct fx_graph graph;
    struct fx_output metrics; /* of -o */
    char *arch;               /* owned: outlives the stream */
    int64_t *images;          /* owned */
};

static void inputs_close(struct inputs *in)
{
    free(in->arch);
    free(in->images);
    fx_graph_fini(&in->graph);
    fx_tensor_file_close(&in->experts);
    fx_output_abandon(&in->metrics);
    fx_dataset_close(&in->dataset);
}

/* The whole model: the recipe asks for the experts' width, and says how the fused part looks.  The
 * experts alone are in in->graph. */
static enum fx_status build(struct args *args, struct inputs *in, struct fx_model_config model,
                            struct fx_err *err)
{
    struct fx_settings *settings = &args->train.settings;
    const struct fx_given *given = &args->train.given;

    settings->arch = model.arch;
    fx_recipe_fusion(settings, given, fx_model_width(&in->graph));
    if (given->of[FX_SET_kd_temperature] && settings->kd == 0 && settings->kd_experts == 0)
        return fx_fail(err, FX_EUSAGE, "--kd-temperature: for --kd or --kd-experts, which are 0");
    FX_TRY(fx_train_check_patience(&args->train, err));
    fx_graph_fini(&in->graph);
    model.fusion = fx_fusions[settings->fusion].name;
    model.fused = settings->fused;
    model.norms = settings->norms;
    model.freeze = settings->freeze;
    FX_TRY(fx_model_build(&in->graph, &model, err));
    in->graph.averages = settings->ema > 0;
    return FX_OK;
}

/* Whether fusion module and head came with the experts: in a checkpoint. */
static bool brings_head(const struct inputs *in)
{
    const struct fx_graph *graph = &in->graph;

    return fx_tensor_set_find(&in->experts.set, graph->params[graph->n_params - 1].name);
}

/* A head that the stream brings was trained for one form of the fused logits. */
static enum fx_status check_start(const struct args *args, const struct inputs *in,
                                  struct fx_err *err)
{
    char form[FX_WORD_BYTES];

    if (!brings_head(in) || in->info.fused == args->train.settings.fused)
        return FX_OK;
    return fx_fail(err, FX_EUSAGE, "%s: its head was trained with --fused %s",
                   in->experts.input.name, fx_word_text(FX_FUSED_FORMS, in->info.fused, form));
}

/* The experts' metadata and tensors, and the graph they must fit. */
static enum fx_status read_experts(struct args *args, struct inputs *in, struct fx_err *err)
{
    const struct fx_settings *settings = &args->train.settings;

    FX_TRY(fx_checkpoint_open(&in->experts, args->experts, FX_WANTED_EXPERTS, &in->info, err));
    struct fx_model_config model = { .arch = in->info.arch,
                                     .n_experts = in->info.n_experts,
                                     .n_classes = in->info.n_classes,
                                     .expert_dropout = settings->expert_dropout,
                                     .fusion_dropout = settings->dropout };
    /* Experts that cannot be are bad input, a fusion that does not suit them is bad usage. */
    if (fx_checkpoint_build(&in->graph, &model, err) != FX_OK)
        return fx_err_prepend(err, "%s: ", in->experts.input.name);
    in->arch = strdup(in->info.arch);
    if (!in->arch)
        return fx_fail(err, FX_EFAIL, "out of memory");
    model.arch = in->arch;
    FX_TRY(build(args, in, model, err));
    FX_TRY(check_start(args, in, err));
    if (fx_checkpoint_check(&in->experts.set, &in->graph, false, err) != FX_OK ||
        fx_checkpoint_check_values(&in->experts.set, &in->graph, err) != FX_OK)
        return fx_err_prepend(err, "%s: ", in->experts.input.name);
    return FX_OK;
}

static enum fx_status check_classes(const struct args *args, const struct inputs *in,
                                    struct fx_err *err)
{
    if (in->info.n_classes == in->dataset.n_classes)
        return FX_OK;
    return fx_fail(err, FX_EINPUT, "%s: the experts have %d classes, the data set %s has %d",
                   in->experts.input.name, in->info.n_classes, args->train.data,
                   in->dataset.n_classes);
}

/* Which images train, choose and test. */
static enum fx_status choose_images(struct args *args, struct inputs *in, struct fx_run_plan *plan,
                                    struct fx_err *err)
{
    const struct fx_settings *settings = &args->train.settings;
    bool by_test = settings->val == FX_VAL_TEST;
    struct fx_index_list none = { 0 };

    if (fx_subset_find(&in->dataset, by_test ? "test" : "val", settings->val_limit, &plan->val,
                       err) != FX_OK)
        return fx_err_prepend(err, "--val %s: ", by_test ? "test" : "holdout");
    FX_TRY(fx_subset_find(&in->dataset, "test", settings->val_limit, &plan->test, err));
    if (settings->train == FX_TRAIN_ALL)
        FX_TRY(fx_index_but(&in->dataset, by_test ? none : in->dataset.val, &in->images,
                            &plan->images.n, err));
    else
        FX_TRY(fx_index_difference(in->dataset.fusion_holdout, by_test ? none : in->dataset.val,
                                   &in->images, &plan->images.n, err));
    plan->images.values = in->images;
    if (plan->images.n == 0)
        return fx_fail(err, FX_EUSAGE, "%s: no images to train on: the holdout is empty",
                       args->train.data);
    return FX_OK;
}

static void announce(const struct args *args, const struct inputs *in,
                     const struct fx_run_plan *plan)
{
    const struct fx_settings *s = &args->train.settings;
    char rate[FX_N_GROUPS][FX_NUMBER_BYTES], summary[FX_SETTINGS_SUMMARY_BYTES];
    char recipe[FX_WORD_BYTES];
    double lr[FX_N_GROUPS];

    fx_settings_rates(s, lr);
    for (int group = 0; group < FX_N_GROUPS; group++)
        fx_number_text(lr[group], rate[group], sizeof rate[group]);
    fx_log_info("%d experts %s, fusion %s, width %d%s", in->info.n_experts, s->arch,
                fx_fusions[s->fusion].name, fx_model_width(&in->graph),
                brings_head(in) ? "; fusion module and head begin as they are in the stream" : "");
    fx_log_info("data %s: %lld images to train on; %s %lld %s; %lld test images", args->train.data,
                (long long)plan->images.n, fx_settings_choice(s), (long long)plan->val.n,
                s->val == FX_VAL_TEST ? "TEST images" : "images of the holdout",
                (long long)plan->test.n);
    fx_log_info("recipe %s: rates %s experts, %s fusion, %s head, %s",
                fx_setting_word(s, FX_SET_recipe, recipe), rate[FX_GROUP_EXPERTS],
                rate[FX_GROUP_FUSION], rate[FX_GROUP_HEAD], fx_settings_summary(s, summary));
}

static enum fx_status train(struct args *args, struct inputs *in, struct fx_err *err)
{
    struct fx_settings *settings = &args->train.settings;
    struct fx_run_plan plan = {
        .settings = settings, .dataset = &in->dataset, .graph = &in->graph, .initial = &in->experts
    };

    FX_TRY(fx_train_check(&args->train, err));
    FX_TRY(fx_finished_precision(&args->train.settings.precision, args->train.run.checkpoint_dir,
                                 args->train.run.device, err));
    FX_TRY(fx_dataset_open(&in->dataset, args->train.data, err));
    FX_TRY(read_experts(args, in, err));
    FX_TRY(check_classes(args, in, err));
    settings->data_digest = in->dataset.digest;
    FX_TRY(choose_images(args, in, &plan, err));
    announce(args, in, &plan);
    FX_TRY(fx_output_open(&in->metrics, args->output, false, err));
    args->train.run.metrics = &in->metrics;
    FX_TRY(fx_train(&plan, &args->train.run, err));
    return fx_output_commit(&in->metrics, err);
}

/* The whole model without weights: of --arch, or of the stream. */
static enum fx_status describe(struct args *args, struct inputs *in, struct fx_err *err)
{
    struct fx_model_config model = { .arch = args->archs,
                                     .n_experts = (int)args->n_experts,
                                     .n_classes = 100,
                                     .expert_dropout = -1,
                                     .fusion_dropout = -1 };

    if (!args->arch)
        return read_experts(args, in, err);
    FX_TRY(fx_arch_list_read(args->arch, args->archs, err));
    if (!args->has_count && fx_arch_count(args->archs) > 1)
        model.n_experts = fx_arch_count(args->archs);
    FX_TRY(fx_model_build(&in->graph, &model, err));
    return build(args, in, model, err);
}

/* The tables: nothing is trained.  Data is only needed to say how many images will be seen. */
static enum fx_status print_tables(struct args *args, struct inputs *in, struct fx_err *err)
{
    struct fx_run_plan plan = { 0 };

    FX_TRY(describe(args, in, err));
    if (args->print_shapes)
        FX_TRY(fx_model_print_shapes(&in->graph, stdout, err));
    if (args->train.print_schedule && args->train.data) {
        FX_TRY(fx_dataset_open(&in->dataset, args->train.data, err));
        FX_TRY(choose_images(args, in, &plan, err));
    }
    if (args->train.print_schedule)
        fx_print_schedule(&args->train.settings, plan.images.n, stdout);
    return FX_OK;
}

/* --finished: the settings as a training would have them, compared with the run that is there. */
static enum fx_status finished(struct args *args, struct inputs *in, struct fx_err *err)
{
    struct fx_settings *settings = &args->train.settings;

    FX_TRY(fx_train_check(&args->train, err));
    FX_TRY(fx_finished_precision(&args->train.settings.precision, args->train.run.checkpoint_dir,
                                 args->train.run.device, err));
    FX_TRY(describe(args, in, err));
    if (args->train.data)
        FX_TRY(fx_dataset_open(&in->dataset, args->train.data, err));
    settings->data_digest = in->dataset.digest;
    return fx_finished_say(args->train.run.checkpoint_dir, settings, err);
}

static enum fx_status run(struct args *args, struct fx_err *err)
{
    struct inputs in = { .metrics.fd = -1 };
    double start = fx_seconds();
    enum fx_status status;

    fx_stop_catch();
    fx_log_set_task(args->train.run.task);
    if (args->train.settings.fusion == FX_NONE)
        return fx_fail(err, FX_EUSAGE, "--fusion NAME is required");
    if (args->train.print_schedule || args->print_shapes) {
        if (args->output)
            return fx_fail(err, FX_EUSAGE,
                           "-o: for the metrics of a training; tables go to stdout");
        status = print_tables(args, &in, err);
        inputs_close(&in);
        return status;
    }
    if (args->train.finished) {
        status = finished(args, &in, err);
        inputs_close(&in);
        return status;
    }
    fx_log_info("%s", fx_tool_command_line());
    status = train(args, &in, err);
    inputs_close(&in);
    if (status == FX_OK || status == FX_ESTOPPED || status == FX_EDIVERGED)
        fx_log_usage(fx_seconds() - start);
    return status;
}

static void fill_rows(struct fx_option *rows, struct args *args)
{
    const struct fx_option own[] = {
        { "experts", 0, "FILE", FX_OPT_STRING, &args->experts, 0, 0, NULL,
          "experts stream (default: standard input)", NULL },
        FX_OPTION_OUTPUT(&args->output),
        { "arch", 0, "NAME", FX_OPT_STRING, &args->arch, 0, 0, FX_ARCHS,
          "in place of a stream, with --print-shapes, --print-schedule, --finished: architecture",
          NULL },
        { "count", 0, "N", FX_OPT_INT, &args->n_experts, 1, FX_GRAPH_MAX_EXPERTS, NULL,
          "with --arch: number of experts (default 4, or that of the architectures)",
          &args->has_count },
        { "print-shapes", 0, NULL, FX_OPT_FLAG, &args->print_shapes, 0, 0, NULL,
          "print nodes, shapes, parameters and MACs of the model and exit", NULL },
    };
    int n = (int)(sizeof own / sizeof *own);

    memcpy(rows, own, sizeof own);
    fx_train_rows(rows, n, &args->train, FX_OF_FUSION);
}

int main(int argc, char **argv)
{
    struct args args = { .n_experts = 4 };
    struct fx_option rows[FX_TRAIN_ROWS_MAX];
    const struct fx_tool tool = {
        .name = "fusion-train",
        .synopsis = "--fusion NAME --data FILE --checkpoint-dir DIR [options] < EXPERTS",
        .summary = "Train experts together with a fusion module and a head. Reads the experts from "
                   "standard input, writes metrics (JSON Lines) to standard output and "
                   "checkpoints to DIR.",
        .options = rows,
        .notes = fx_model_help(),
        .example = "expert-load --arch resnet18 expert_*.pth |\n"
                   "    fusion-train --fusion multiplicative --data cifar100.safetensors \\\n"
                   "      --checkpoint-dir run > run.jsonl",
        .built_with = fx_train_built_with(),
    };
    struct fx_err err = { 0 };

    fx_train_args_init(&args.train, "fusion-train", FX_OF_FUSION);
    fill_rows(rows, &args);
    int n_operands = fx_tool_start(&tool, argc, argv);
    enum fx_status status = n_operands > 0
                                ? fx_fail(&err, FX_EUSAGE, "%s: unexpected operand", argv[0])
                                : run(&args, &err);
    return fx_tool_exit(status, &err);
}
