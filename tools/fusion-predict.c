/* fusion-predict: a model and images in, what is on them out (fusion-predict(1)).  The model is
 * asked through libfusion, as anybody's program would. */
#include "base/io.h"
#include "base/log.h"
#include "base/tool.h"
#include "backend/backend.h"
#include "base/words.h"
#include "predict/asker.h"
#include "run/evaluate.h"
#include "run/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct args {
    struct fusion_options options;
    const char *model, *split;
    enum fx_precision precision;
    int64_t top, limit, threads, batch;
    bool json, tsv, stream;
    char **images; /* borrowed from argv */
    int n_images;
};

enum { NAME_BYTES = 4096 };

/* ---- where images come from ------------------------------------------------------------------ */

static enum fx_status find_images(const struct fx_asker *asker, const struct args *args,
                                  const struct fx_dataset *ds, struct fx_subset *subset,
                                  struct fx_err *err)
{
    const struct fusion_info *info = fusion_describe(asker->model);

    if (ds->n_classes != info->n_classes)
        return fx_fail(err, FX_EINPUT, "%s: the data set has %d classes, the model %d",
                       ds->file.input.name, ds->n_classes, info->n_classes);
    return fx_subset_find(ds, args->split, args->limit, subset, err);
}

static enum fx_status ask_dataset(struct fx_asker *asker, const struct args *args,
                                  const struct fx_dataset *ds, struct fx_err *err)
{
    struct fx_subset subset;
    char name[NAME_BYTES];
    struct fx_err why = { 0 };

    if (find_images(asker, args, ds, &subset, &why) != FX_OK)
        return fx_ask_nothing(asker, ds->file.input.name, NULL, &why, err);
    for (int64_t i = 0; i < subset.n; i++) {
        int64_t number = subset.numbers ? subset.numbers[i] : i;
        snprintf(name, sizeof name, "%s:%s:%" PRId64, ds->file.input.name, args->split, number);
        FX_TRY(fx_ask_pixels(asker, name, subset.images->fine[number],
                             subset.images->images + number * FX_IMAGE_BYTES, err));
    }
    return FX_OK;
}

/* Pictures one behind the other; behind one that is bad nothing more can be found. */
static enum fx_status ask_pictures(struct fx_asker *asker, const struct fx_input *in,
                                   struct fx_err *err)
{
    char name[NAME_BYTES];
    size_t n_read = 1;

    for (size_t at = 0, i = 0; n_read > 0 && at < in->n_bytes; at += n_read, i++) {
        snprintf(name, sizeof name, "%s:%zu", in->name, i);
        FX_TRY(fx_ask_picture(asker, name, NULL, in->bytes + at, in->n_bytes - at, &n_read, err));
    }
    return FX_OK;
}

/* As the length of a header and its brace: what no picture begins with. */
static bool is_safetensors(const struct fx_input *in)
{
    return in->n_bytes > 8 && in->bytes[8] == '{' && memcmp(in->bytes + 5, "\0\0", 3) == 0;
}

static enum fx_status ask_input(struct fx_asker *asker, const struct args *args,
                                struct fx_input *in, bool is_stdin, struct fx_err *err)
{
    const char *name = in->name;
    struct fx_dataset ds;
    struct fx_err why = { 0 };
    enum fx_status status;

    if (is_safetensors(in)) {
        if (fx_dataset_take(&ds, in, &why) != FX_OK)
            return fx_ask_nothing(asker, name, NULL, &why, err);
        status = ask_dataset(asker, args, &ds, err);
        fx_dataset_close(&ds);
        return status;
    }
    if (is_stdin && in->n_bytes > 0)
        return ask_pictures(asker, in, err);
    return fx_ask_picture(asker, in->name, NULL, in->bytes, in->n_bytes, NULL, err);
}

static enum fx_status ask_file(struct fx_asker *asker, const struct args *args, const char *path,
                               struct fx_err *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    struct fx_input in = { 0 };
    struct fx_err why = { 0 };
    enum fx_status status;

    if (is_stdin && isatty(STDIN_FILENO))
        return fx_fail(err, FX_EUSAGE, "stdin: is a terminal; name images, or pipe some in");
    if (fx_input_open(&in, path, &why) != FX_OK)
        return fx_ask_nothing(asker, path, NULL, &why, err);
    status = ask_input(asker, args, &in, is_stdin, err);
    fx_input_close(&in);
    return status;
}

/* ---- the tool -------------------------------------------------------------------------------- */

static enum fx_status ask(struct fx_asker *asker, const struct args *args, struct fx_err *err)
{
    const struct fusion_info *info = fusion_describe(asker->model);

    if (asker->top > info->n_classes)
        asker->top = info->n_classes;
    FX_TRY(fx_asker_open(asker, err));
    if (args->stream)
        FX_TRY(fx_ask_stream(asker, STDIN_FILENO, err));
    for (int i = 0; i < args->n_images; i++)
        FX_TRY(ask_file(asker, args, args->images[i], err));
    if (!args->stream && args->n_images == 0)
        FX_TRY(ask_file(asker, args, "-", err));
    FX_TRY(fx_asker_answer(asker, err));
    return asker->status;
}

static enum fx_status check_usage(const struct args *args, struct fx_err *err)
{
    bool is_model_stdin = args->model && strcmp(args->model, "-") == 0;

    if (!args->model)
        return fx_fail(err, FX_EUSAGE, "which model? (best.safetensors of a run)");
    if (args->json && args->tsv)
        return fx_fail(err, FX_EUSAGE, "--tsv: not with --json");
    if (args->stream && args->tsv)
        return fx_fail(err, FX_EUSAGE, "--tsv: --stream answers in JSON");
    if (args->stream && args->n_images > 0)
        return fx_fail(err, FX_EUSAGE, "%s: no images with --stream", args->images[0]);
    for (int i = 0; i < args->n_images && is_model_stdin; i++)
        if (strcmp(args->images[i], "-") == 0)
            return fx_fail(err, FX_EUSAGE, "-: the model comes from standard input");
    if (is_model_stdin && args->n_images == 0)
        return fx_fail(err, FX_EUSAGE, "-: the model comes from standard input; name images");
    return FX_OK;
}

static enum fx_status run(struct args *args, struct fx_err *err)
{
    struct fusion_error error = { 0 };
    struct fx_asker asker = { .top = (int)args->top, .is_stream = args->stream, .out = stdout };
    char precision[FX_WORD_BYTES];
    enum fx_status status;

    FX_TRY(check_usage(args, err));
    asker.format = args->json || args->stream ? FX_ANSWER_JSON
                   : args->tsv                ? FX_ANSWER_TSV
                                              : FX_ANSWER_TEXT;
    args->options.precision = fx_word_text(FX_PRECISIONS, (int)args->precision, precision);
    args->options.threads = (int)args->threads;
    args->options.batch = (int)args->batch;
    if (fusion_open(&asker.model, args->model, &args->options, &error) != FUSION_OK)
        return fx_fail(err, (enum fx_status)error.status, "%s", error.text);
    status = ask(&asker, args, err);
    fx_asker_close(&asker);
    fusion_close(asker.model);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = { .split = "test", .top = 3, .batch = 64 };
    const struct fx_option rows[] = {
        { "top", 'k', "N", FX_OPT_INT, &args.top, 1, 256, NULL,
          "print the N most probable classes (default 3)", NULL },
        { "json", 0, NULL, FX_OPT_FLAG, &args.json, 0, 0, NULL,
          "print a line of JSON for each image", NULL },
        { "tsv", 0, NULL, FX_OPT_FLAG, &args.tsv, 0, 0, NULL,
          "print a table, columns separated by tabs", NULL },
        { "stream", 0, NULL, FX_OPT_FLAG, &args.stream, 0, 0, NULL,
          "answer requests from standard input, a line of JSON each, until it ends", NULL },
        { "data", 0, "FILE", FX_OPT_STRING, &args.options.data, 0, 0, NULL,
          "data set with class names and normalisation, for model files without them", NULL },
        { "split", 0, "NAME", FX_OPT_CHOICE, &args.split, 0, 0, "test|val|holdout|train",
          "images of a data set that is an operand (default: test)", NULL },
        { "limit", 0, "N", FX_OPT_INT, &args.limit, 0, 1e9, NULL,
          "at most the first N of them; 0: all (default)", NULL },
        { "batch", 0, "N", FX_OPT_INT, &args.batch, 1, 65536, NULL,
          "the most images to compute at once (default: 64)", NULL },
        { "device", 0, "NAME", FX_OPT_STRING, &args.options.device, 0, 0, NULL,
          "auto|cpu|ref|cuda or auto:N, cuda:N with a GPU's number (default: auto)", NULL },
        { "threads", 0, "N", FX_OPT_INT, &args.threads, 1, 1024, NULL,
          "CPU threads (default: as many as the process may use)", NULL },
        { "precision", 0, "NAME", FX_OPT_ENUM, &args.precision, 0, 0, FX_PRECISIONS,
          "arithmetic of the experts (default: fp32)", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "fusion-predict",
        .synopsis = "[options] MODEL [IMAGE...]",
        .summary =
            "Classify pictures (JPEG, PNG) or the images of a data set, and print the choice "
            "of each expert.",
        .options = rows,
        .example = "fusion-predict run/best.safetensors cow.jpg",
        .built_with = fx_train_built_with(),
    };
    struct fx_err err = { 0 };

    int n_operands = fx_tool_start(&tool, argc, argv);
    args.model = n_operands > 0 ? argv[0] : NULL;
    args.images = argv + 1;
    args.n_images = n_operands > 0 ? n_operands - 1 : 0;
    return fx_tool_exit(run(&args, &err), &err);
}
