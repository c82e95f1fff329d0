/* fusion-eval: a checkpoint or experts stream and a data set go in, one measurement comes out. */
#include "base/clock.h"
#include "base/env.h"
#include "base/io.h"
#include "base/log.h"
#include "base/tool.h"
#include "checkpoint/checkpoint.h"
#include "data/labels.h"
#include "net/fusion.h"
#include "run/attack.h"
#include "run/corruption_events.h"
#include "run/detail_events.h"
#include "run/fit_temperature.h"
#include "run/logits_file.h"
#include "run/memory.h"
#include "run/metrics.h"
#include "run/outside.h"
#include "run/progress.h"
#include "run/run.h"
#include "run/verdict_files.h"
#include "tensor/safetensors.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct args {
    struct fx_settings settings;
    struct fx_run_options run;
    const char *input; /* NULL or "-": stdin */
    const char *data, *split, *output, *logits, *confusion, *predictions, *temperature, *ood,
        *corrupted, *baseline;
    int64_t limit, n_rounds, seed;
    struct fx_attack_options attacked;
    struct fx_attack attack; /* by attacked, if its kind is given */
    bool check_device, details;
};

/* The files that are asked for beside the metrics. */
enum { LOGITS, CONFUSION, PREDICTIONS, N_FILES };

/* Everything that is opened; zeroed first. */
struct evaluation {
    struct fx_dataset dataset;
    struct fx_tensor_file file;
    struct fx_checkpoint_info info;
    struct fx_graph graph;
    struct fx_engine engine;
    struct fx_subset subset;
    struct fx_tensor_set logits; /* empty unless asked for */
    struct fx_output metrics, file_out[N_FILES];
    struct fx_judgement plain, scaled; /* scaled: with fitted temperatures, where those are */
    int64_t n_fitted;
    json_t *fine, *coarse; /* owned: names of the labels */
    uint8_t superclass[FX_LABELS_MAX];
    int n_superclasses;
};

static void evaluation_close(struct evaluation *ev)
{
    fx_output_abandon(&ev->metrics);
    for (int i = 0; i < N_FILES; i++)
        fx_output_abandon(&ev->file_out[i]);
    fx_tensor_set_fini(&ev->logits);
    fx_judgement_fini(&ev->plain);
    fx_judgement_fini(&ev->scaled);
    json_decref(ev->fine);
    json_decref(ev->coarse);
    fx_engine_close(&ev->engine);
    fx_graph_fini(&ev->graph);
    fx_tensor_file_close(&ev->file);
    fx_dataset_close(&ev->dataset);
}

/* What an evaluation gives to who asked for it: verdicts always, logits on demand. */
static enum fx_status take(void *ctx, int head, int64_t first, int n, const float *logits,
                           struct fx_err *err)
{
    struct evaluation *ev = ctx;

    FX_TRY(fx_judgement_take(&ev->plain, head, first, n, logits, err));
    if (ev->n_fitted > 0)
        FX_TRY(fx_judgement_take(&ev->scaled, head, first, n, logits, err));
    return ev->logits.n_tensors == 0 ? FX_OK
                                     : fx_logits_take(&ev->logits, head, first, n, logits, err);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void file_paths(const struct args *args, const char *paths[N_FILES])
{
    paths[LOGITS] = args->logits;
    paths[CONFUSION] = args->confusion;
    paths[PREDICTIONS] = args->predictions;
}

/* First of all: a folder that cannot be written is noticed before the work. */
static enum fx_status files_open(const struct args *args, struct evaluation *ev, struct fx_err *err)
{
    const char *paths[N_FILES];

    file_paths(args, paths);
    FX_TRY(fx_output_open(&ev->metrics, args->output, false, err));
    for (int i = 0; i < N_FILES; i++)
        if (paths[i])
            FX_TRY(fx_output_open(&ev->file_out[i], paths[i], i == LOGITS, err));
    return FX_OK;
}

static enum fx_status files_write(const struct args *args, struct evaluation *ev,
                                  struct fx_err *err)
{
    const char *paths[N_FILES];

    file_paths(args, paths);
    if (args->logits)
        FX_TRY(fx_safetensors_write(&ev->logits, ev->file_out[LOGITS].fd, args->logits, NULL, NULL,
                                    err));
    if (args->confusion)
        FX_TRY(fx_confusion_write(&ev->plain, ev->fine, &ev->file_out[CONFUSION], err));
    if (args->predictions)
        FX_TRY(fx_predictions_write(&ev->plain, &ev->file_out[PREDICTIONS], err));
    for (int i = 0; i < N_FILES; i++)
        if (paths[i])
            FX_TRY(fx_output_commit(&ev->file_out[i], err));
    return FX_OK;
}

/* ---- from the command line to a loaded engine ------------------------------------------------ */

static enum fx_status open_inputs(const struct args *args, struct evaluation *ev,
                                  struct fx_err *err)
{
    FX_TRY(fx_dataset_open(&ev->dataset, args->data, err));
    FX_TRY(fx_subset_find(&ev->dataset, args->split, args->limit, &ev->subset, err));
    FX_TRY(fx_label_names(&ev->dataset, "fine_labels", &ev->fine, err));
    FX_TRY(fx_label_names(&ev->dataset, "coarse_labels", &ev->coarse, err));
    ev->n_superclasses = fx_superclasses(&ev->dataset, ev->superclass);
    FX_TRY(fx_checkpoint_open(&ev->file, args->input, FX_WANTED_CHECKPOINT, &ev->info, err));
    const char *name = ev->file.input.name;
    if (ev->info.n_classes != ev->dataset.n_classes)
        return fx_fail(err, FX_EINPUT, "%s: the model has %d classes, the data set %s has %d", name,
                       ev->info.n_classes, args->data, ev->dataset.n_classes);
    struct fx_model_config model = { .arch = ev->info.arch,
                                     .fusion = ev->info.fusion,
                                     .fused = ev->info.fused,
                                     .n_experts = ev->info.n_experts,
                                     .n_classes = ev->info.n_classes,
                                     .expert_dropout = -1,
                                     .fusion_dropout = -1,
                                     .attack = args->attacked.kind };
    if (fx_checkpoint_build(&ev->graph, &model, err) != FX_OK ||
        fx_checkpoint_check(&ev->file.set, &ev->graph, true, err) != FX_OK ||
        fx_checkpoint_check_values(&ev->file.set, &ev->graph, err) != FX_OK)
        return fx_err_prepend(err, "%s: ", name);
    return FX_OK;
}

static enum fx_status open_engine(const struct args *args, struct evaluation *ev,
                                  struct fx_err *err)
{
    int64_t batch = args->settings.batch < ev->subset.n ? args->settings.batch : ev->subset.n;
    struct fx_engine_options options = { .device = args->run.device,
                                         .precision = args->settings.precision,
                                         .threads = (int)args->run.threads,
                                         .trains = args->attacked.kind,
                                         .train_n = args->attacked.kind ? (int)batch : 0,
                                         .eval_n = (int)batch };
    struct fx_memory_plan plan = { .batches = (size_t)batch * FX_IMAGE_BYTES * sizeof(float),
                                   .experts =
                                       ev->file.input.is_mapped ? 0 : ev->file.input.n_bytes };

    FX_TRY(fx_engine_open(&ev->engine, &ev->graph, &options, NULL, err));
    FX_TRY(fx_engine_plan_memory(&ev->engine, &plan, err));
    FX_TRY(fx_memory_check(&plan, batch, err));
    FX_TRY(fx_engine_allocate(&ev->engine, err));
    return fx_engine_load(&ev->engine, &ev->file.set, 0, err);
}

/* ---- metrics --------------------------------------------------------------------------------- */

static enum fx_status say(const struct evaluation *ev, char *line, struct fx_err *err)
{
    const struct fx_output *to = &ev->metrics;
    enum fx_status status =
        fx_write_full(to->fd, line, strlen(line), to->is_stdout ? "stdout" : to->path, err);

    free(line);
    return status;
}

static enum fx_status say_start(const struct args *args, const struct evaluation *ev,
                                struct fx_err *err)
{
    struct fx_settings settings = args->settings;
    struct fx_start_facts facts = { .task = args->run.task,
                                    .device = ev->engine.choice.device,
                                    .threads = ev->engine.threads,
                                    .graph = &ev->graph };
    char *line;

    settings.arch = ev->info.arch;
    settings.fusion = ev->info.fusion ? fx_word_find(FX_FUSIONS, ev->info.fusion) : FX_NONE;
    settings.data_digest = ev->dataset.digest;
    FX_TRY(fx_metrics_start_eval(&settings, &facts, &line, err));
    return say(ev, line, err);
}

/* Of the fx_line_sink kind. */
static enum fx_status say_detail(void *ctx, char *line, struct fx_err *err)
{
    return say(ctx, line, err);
}

static enum fx_status say_details(struct evaluation *ev, struct fx_err *err)
{
    const struct fx_detail_facts facts = { .split = ev->subset.name,
                                           .plain = &ev->plain,
                                           .scaled = ev->n_fitted > 0 ? &ev->scaled : NULL,
                                           .fine = ev->fine,
                                           .coarse = ev->coarse,
                                           .superclass = ev->superclass,
                                           .n_superclasses = ev->n_superclasses };

    return fx_detail_events(&facts, say_detail, ev, err);
}

static enum fx_status say_result(const struct args *args, struct evaluation *ev,
                                 const struct fx_measure *measure, struct fx_err *err)
{
    const struct fx_assess_options options = {
        .superclass = ev->n_superclasses > 1 ? ev->superclass : NULL,
        .n_rounds = args->n_rounds,
        .seed = (uint64_t)args->seed,
        .scaled = ev->n_fitted > 0 ? &ev->scaled : NULL,
        .n_fitted = ev->n_fitted,
    };
    struct fx_assessment assessment;
    char *line;

    FX_TRY(fx_assess(&ev->plain, &options, &assessment, err));
    fx_assessment_log(&assessment);
    FX_TRY(fx_metrics_eval(measure, ev->subset.name, -1, &assessment, &line, err));
    FX_TRY(say(ev, line, err));
    return args->details ? say_details(ev, err) : FX_OK;
}

/* On other images, where that was asked for. */
static enum fx_status say_others(const struct args *args, struct evaluation *ev, struct fx_err *err)
{
    const struct fx_corruption_facts facts = { .path = args->corrupted,
                                               .baseline = args->baseline,
                                               .limit = args->limit };
    char *line;

    if (args->ood) {
        FX_TRY(fx_outside_event(&ev->engine, &ev->dataset, &ev->plain, args->ood, args->limit,
                                &line, err));
        FX_TRY(say(ev, line, err));
    }
    if (args->corrupted)
        FX_TRY(fx_corruption_events(&ev->engine, &ev->dataset, &facts, say_detail, ev, err));
    if (!args->attacked.kind)
        return FX_OK;
    FX_TRY(fx_attack_event(&ev->engine, &ev->dataset, &ev->subset, &args->attack, &line, err));
    return say(ev, line, err);
}

static enum fx_status say_end(struct evaluation *ev, double seconds, struct fx_err *err)
{
    struct fx_end_facts end = { .status = "done", .epoch = -1, .seconds = seconds };
    char *line;

    FX_TRY(fx_metrics_end(&end, &line, err));
    FX_TRY(say(ev, line, err));
    return fx_output_commit(&ev->metrics, err);
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Room for the verdicts, and the temperatures for the second kind of them. */
static enum fx_status prepare(const struct args *args, struct evaluation *ev, struct fx_err *err)
{
    FX_TRY(fx_judgement_init(&ev->plain, &ev->subset, &ev->graph, err));
    if (args->logits)
        FX_TRY(fx_logits_init(&ev->logits, &ev->subset, &ev->graph, ev->info.arch, err));
    if (strcmp(args->temperature, "fit") != 0)
        return FX_OK;
    FX_TRY(fx_judgement_init(&ev->scaled, &ev->subset, &ev->graph, err));
    return fx_fit_temperatures(&ev->engine, &ev->dataset, ev->scaled.temperature, &ev->n_fitted,
                               err);
}

static enum fx_status evaluate(const struct args *args, struct evaluation *ev, struct fx_err *err)
{
    double start = fx_seconds();
    struct fx_measure measure;

    FX_TRY(open_inputs(args, ev, err));
    FX_TRY(files_open(args, ev, err));
    FX_TRY(open_engine(args, ev, err));
    FX_TRY(say_start(args, ev, err));
    FX_TRY(prepare(args, ev, err));
    FX_TRY(fx_evaluate(&ev->engine, &ev->dataset, &ev->subset, take, ev, &measure, err));
    FX_TRY(files_write(args, ev, err));
    fx_progress_measure(ev->subset.name, &measure);
    FX_TRY(say_result(args, ev, &measure, err));
    FX_TRY(say_others(args, ev, err));
    return say_end(ev, fx_seconds() - start, err);
}

static enum fx_status check_device(const struct args *args, struct fx_err *err)
{
    struct fx_engine_options options = { .device = args->run.device,
                                         .precision = args->settings.precision,
                                         .threads = (int)args->run.threads };

    return fx_engine_probe(&options, err);
}

static enum fx_status run(struct args *args, struct fx_err *err)
{
    struct evaluation ev = { .metrics.fd = -1 };
    double start = fx_seconds();

    fx_log_set_task(args->run.task);
    FX_TRY(fx_choose_precision(&args->settings.precision, args->run.device, err));
    if (args->check_device)
        return check_device(args, err);
    if (!args->data)
        return fx_fail(err, FX_EUSAGE, "--data FILE is required");
    if (strcmp(args->temperature, "fit") == 0 && strcmp(args->split, "test") != 0)
        return fx_fail(err, FX_EUSAGE,
                       "--temperature fit: --split %s has images that it is "
                       "fitted on; measure test",
                       args->split);
    if (args->baseline && !args->corrupted)
        return fx_fail(err, FX_EUSAGE, "--baseline: has a meaning with --corrupted only");
    FX_TRY(fx_attack_parse(&args->attacked, (uint64_t)args->seed, &args->attack, err));
    enum fx_status status = evaluate(args, &ev, err);
    evaluation_close(&ev);
    if (status == FX_OK || status == FX_ESTOPPED || status == FX_EDIVERGED)
        fx_log_usage(fx_seconds() - start);
    return status;
}

static struct args defaults(void)
{
    return (struct args){ .settings = { .tool = "fusion-eval",
                                        .expert = FX_NONE,
                                        .recipe = FX_RECIPE_NONE,
                                        .batch = 128 },
                          .run = { .device = "auto", .task = fx_env("FUSION_TASK") },
                          .split = "test",
                          .temperature = "none",
                          .n_rounds = 1000,
                          .seed = 42 };
}

int main(int argc, char **argv)
{
    struct args args = defaults();
    const struct fx_option rows[] = {
        FX_OPTION_OUTPUT(&args.output),
        { "data", 0, "FILE", FX_OPT_STRING, &args.data, 0, 0, NULL,
          "data set of cifar-prep (required)", NULL },
        { "split", 0, "NAME", FX_OPT_CHOICE, &args.split, 0, 0, "test|val|holdout|train",
          "images to measure (default: test)", NULL },
        { "limit", 0, "N", FX_OPT_INT, &args.limit, 0, 1e9, NULL,
          "at most the first N of them; 0: all (default)", NULL },
        { "logits", 0, "FILE", FX_OPT_STRING, &args.logits, 0, 0, NULL,
          "write the logits of every image and head to FILE", NULL },
        { "details", 0, NULL, FX_OPT_FLAG, &args.details, 0, 0, NULL,
          "also an event for each class, superclass and bin of probabilities", NULL },
        { "confusion", 0, "FILE", FX_OPT_STRING, &args.confusion, 0, 0, NULL,
          "write every head's confusion matrix to FILE (CSV)", NULL },
        { "predictions", 0, "FILE", FX_OPT_STRING, &args.predictions, 0, 0, NULL,
          "write what every head predicts for every image to FILE (CSV)", NULL },
        { "temperature", 0, "NAME", FX_OPT_CHOICE, &args.temperature, 0, 0, "none|fit",
          "also the calibration at temperatures fitted on val (default: none)", NULL },
        { "ood", 0, "FILE", FX_OPT_STRING, &args.ood, 0, 0, NULL,
          "also out-of-distribution detection against its test images", NULL },
        { "corrupted", 0, "FILE", FX_OPT_STRING, &args.corrupted, 0, 0, NULL,
          "also the errors on these images of cifar-corrupt or cifar-prep", NULL },
        { "baseline", 0, "FILE", FX_OPT_STRING, &args.baseline, 0, 0, NULL,
          "metrics with another model's errors on them, for the mCE", NULL },
        { "attack", 0, "NAME", FX_OPT_CHOICE, &args.attacked.kind, 0, 0, FX_ATTACKS,
          "also an adversarial attack on the fused head (default: none)", NULL },
        { "epsilon", 0, "SIZE", FX_OPT_STRING, &args.attacked.epsilon, 0, 0, NULL,
          "largest change of a pixel, whose range is 0 to 1 (default: 8/255)", NULL },
        { "attack-steps", 0, "N", FX_OPT_INT, &args.attacked.steps, 1, 1e6, NULL,
          "steps of pgd (default: 10)", NULL },
        { "attack-step-size", 0, "SIZE", FX_OPT_STRING, &args.attacked.step_size, 0, 0, NULL,
          "change of a pixel in a step of pgd (default: 2/255)", NULL },
        { "bootstrap", 0, "N", FX_OPT_INT, &args.n_rounds, 0, 100000, NULL,
          "samples for the intervals of 95 %; 0: none (default: 1000)", NULL },
        { "seed", 0, "N", FX_OPT_INT, &args.seed, 0, 0x1p53, NULL,
          "seed of these samples, and of pgd (default: 42)", NULL },
        { "batch", 0, "N", FX_OPT_INT, &args.settings.batch, 1, 1e6, NULL,
          "images of a batch (default: 128)", NULL },
        { "device", 0, "NAME", FX_OPT_STRING, &args.run.device, 0, 0, NULL,
          "auto|cpu|ref|cuda or auto:N, cuda:N with a GPU's number (default: auto)", NULL },
        { "check-device", 0, NULL, FX_OPT_FLAG, &args.check_device, 0, 0, NULL,
          "only open the device, and exit: 0 when it can be used", NULL },
        { "threads", 0, "N", FX_OPT_INT, &args.run.threads, 1, 1024, NULL,
          "CPU threads (default: as many as the process may use)", NULL },
        { "precision", 0, "NAME", FX_OPT_ENUM, &args.settings.precision, 0, 0, FX_PRECISIONS,
          "arithmetic of the experts (default: fp32)", NULL },
        { "task", 0, "NAME", FX_OPT_STRING, &args.run.task, 0, 0, NULL,
          "put [NAME] before every line of the log (default: $FUSION_TASK)", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "fusion-eval",
        .synopsis = "--data FILE [options] [CHECKPOINT]",
        .summary = "Measure a checkpoint or an experts stream on a part of the data set: fused "
                   "head, each expert, and the mean of the experts' logits.",
        .options = rows,
        .example = "fusion-eval --data cifar100.safetensors run/best.safetensors",
        .built_with = fx_train_built_with(),
    };
    struct fx_err err = { 0 };

    int n_operands = fx_tool_start(&tool, argc, argv);
    args.input = n_operands > 0 ? argv[0] : NULL;
    enum fx_status status = n_operands > 1
                                ? fx_fail(&err, FX_EUSAGE, "%s: one checkpoint at a time", argv[1])
                                : run(&args, &err);
    return fx_tool_exit(status, &err);
}
