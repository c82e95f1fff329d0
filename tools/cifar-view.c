/* cifar-view: a data set in, a PNG contact sheet out, plain or as an epoch of training sees it
 * (cifar-view(1)). */
#include "base/io.h"
#include "base/tool.h"
#include "data/augment.h"
#include "data/dataset.h"
#include "data/labels.h"
#include "data/sheet.h"
#include "image/picture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct args {
    const char *input; /* NULL: stdin */
    const char *output, *split, *labels;
    enum fx_augment_policy augment;
    enum fx_mix_kind mix;
    double mix_alpha;
    int64_t count, columns, scale, seed, epoch;
    bool shuffle;
};

enum { N_IMAGES_MAX = 1024, CAPTION_BYTES = 64 };

/* What the sheet shows: images of one part of the data set. */
struct selection {
    const struct fx_image_set *images;
    struct fx_index_list numbers; /* values owned by `all`, or borrowed from the data set */
    int64_t *all;                 /* owned: 0, 1, 2 ... when the part is a whole set */
    const uint8_t *labels;
    const char *names_key;
};

static enum fx_status select_all(struct selection *selection, struct fx_err *err)
{
    selection->all = calloc((size_t)selection->images->n + 1, sizeof *selection->all);
    if (!selection->all)
        return fx_fail(err, FX_EFAIL, "out of memory");
    for (int64_t i = 0; i < selection->images->n; i++)
        selection->all[i] = i;
    selection->numbers = (struct fx_index_list){ selection->all, selection->images->n };
    return FX_OK;
}

static enum fx_status select_images(struct selection *selection, const struct fx_dataset *ds,
                                    const struct args *args, struct fx_err *err)
{
    bool coarse = strcmp(args->labels, "coarse") == 0;

    selection->images = strcmp(args->split, "test") == 0 ? &ds->test : &ds->train;
    selection->labels = coarse ? selection->images->coarse : selection->images->fine;
    selection->names_key = coarse ? "coarse_labels" : "fine_labels";
    if (strcmp(args->split, "holdout") == 0)
        selection->numbers = ds->fusion_holdout;
    else if (strcmp(args->split, "val") == 0)
        selection->numbers = ds->val;
    else if (strcmp(args->split, "pool") == 0)
        selection->numbers = ds->expert_pool;
    else
        FX_TRY(select_all(selection, err));
    if (selection->numbers.n == 0)
        return fx_fail(err, FX_EINPUT, "%s: --split %s: has no images", ds->file.input.name,
                       args->split);
    return FX_OK;
}

/* ---- the batch --------------------------------------------------------------------------------
 */

/* The first n images of an epoch as training would see them. */
struct batch {
    int n;
    struct fx_augment_row *rows; /* owned, of the whole epoch */
    uint32_t *partner;           /* owned */
    struct fx_mix mix;
    float *pixels; /* owned: (n, 3, 32, 32) */
};

static void batch_fini(struct batch *batch)
{
    free(batch->rows);
    free(batch->partner);
    free(batch->pixels);
}

static enum fx_status make_batch(struct batch *batch, const struct fx_dataset *ds,
                                 const struct selection *selection, const struct args *args,
                                 struct fx_err *err)
{
    size_t n_all = (size_t)selection->numbers.n;
    size_t n = (size_t)args->count < n_all ? (size_t)args->count : n_all;
    struct fx_augment_config config = {
        .policy = args->augment,
        .mix = args->mix,
        .mix_alpha = args->mix_alpha,
        .shuffle = args->shuffle,
        .seed = (uint64_t)args->seed,
    };

    batch->n = (int)n;
    batch->rows = calloc(n_all, sizeof *batch->rows);
    batch->partner = calloc(n, sizeof *batch->partner);
    batch->pixels = calloc(n, FX_IMAGE_BYTES * sizeof *batch->pixels);
    if (!batch->rows || !batch->partner || !batch->pixels)
        return fx_fail(err, FX_EFAIL, "out of memory");
    fx_augment_epoch(&config, selection->numbers, (uint32_t)args->epoch, batch->rows);
    fx_augment_mix(&config, (uint32_t)args->epoch, 0, batch->n, &batch->mix, batch->partner);
    fx_augment_batch(selection->images, ds->mean, ds->std, batch->rows, batch->n, &batch->mix,
                     batch->partner, batch->pixels);
    return FX_OK;
}

/* Back from what the network sees to bytes. */
static void to_bytes(const struct fx_dataset *ds, const float *pixels, uint8_t *image)
{
    for (int i = 0; i < FX_IMAGE_BYTES; i++) {
        int c = i / FX_IMAGE_PIXELS;
        float value = (pixels[i] * ds->std[c] + ds->mean[c]) * 255.0f + 0.5f;
        image[i] = value <= 0.0f ? 0 : value >= 255.0f ? 255 : (uint8_t)value;
    }
}

/* ---- captions ---------------------------------------------------------------------------------
 */

/* "apple", or "63% apple" in a mixed batch; a label without a name is its number. */
static void caption(char text[CAPTION_BYTES], const json_t *names, int label, double share)
{
    char number[FX_LABEL_NUMBER_BYTES], percent[16] = "";

    if (share < 1.0)
        snprintf(percent, sizeof percent, "%.0f%% ", 100.0 * share);
    snprintf(text, CAPTION_BYTES, "%s%s", percent, fx_label_name(names, label, number));
}

static void draw_cell(struct fx_sheet *sheet, int i, const struct batch *batch,
                      const struct fx_dataset *ds, const struct selection *selection,
                      const json_t *names)
{
    uint8_t image[FX_IMAGE_BYTES];
    char text[CAPTION_BYTES];
    double lam = (double)batch->mix.lam;

    to_bytes(ds, batch->pixels + (size_t)i * FX_IMAGE_BYTES, image);
    fx_sheet_put_image(sheet, i, image);
    caption(text, names, selection->labels[batch->rows[i].image], lam);
    fx_sheet_put_text(sheet, i, 0, text);
    if (lam < 1.0) {
        caption(text, names, selection->labels[batch->rows[batch->partner[i]].image], 1.0 - lam);
        fx_sheet_put_text(sheet, i, 1, text);
    }
}

static enum fx_status draw_sheet(struct fx_sheet *sheet, const struct batch *batch,
                                 const struct fx_dataset *ds, const struct selection *selection,
                                 const struct args *args, struct fx_err *err)
{
    int n_columns = (int)args->columns < batch->n ? (int)args->columns : batch->n;

    FX_TRY(fx_sheet_init(sheet, batch->n, n_columns, (int)args->scale,
                         batch->mix.kind == FX_MIX_NONE ? 1 : 2, err));
    json_t *names;
    FX_TRY(fx_label_names(ds, selection->names_key, &names, err));
    for (int i = 0; i < batch->n; i++)
        draw_cell(sheet, i, batch, ds, selection, names);
    json_decref(names);
    return FX_OK;
}

/* ---- the tool ---------------------------------------------------------------------------------
 */

static enum fx_status run(const struct args *args, struct fx_err *err)
{
    struct fx_output out = { 0 };
    struct fx_dataset ds = { 0 };
    struct selection selection = { 0 };
    struct batch batch = { 0 };
    struct fx_sheet sheet = { 0 };
    enum fx_status status;

    FX_TRY(fx_output_open(&out, args->output, true, err));
    FX_TRY_OUT(fx_dataset_open(&ds, args->input, err));
    FX_TRY_OUT(select_images(&selection, &ds, args, err));
    FX_TRY_OUT(make_batch(&batch, &ds, &selection, args, err));
    FX_TRY_OUT(draw_sheet(&sheet, &batch, &ds, &selection, args, err));
    FX_TRY_OUT(fx_png_write(sheet.rgb, sheet.width, sheet.height, out.fd,
                            out.is_stdout ? "stdout" : out.path, err));
    status = fx_output_commit(&out, err);
out:
    fx_output_abandon(&out);
    fx_sheet_fini(&sheet);
    batch_fini(&batch);
    free(selection.all);
    fx_dataset_close(&ds);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = {
        .split = "train",
        .labels = "fine",
        .mix_alpha = 1.0,
        .count = 32,
        .columns = 8,
        .scale = 4,
        .seed = 42,
        .epoch = 1,
    };
    const struct fx_option options[] = {
        FX_OPTION_OUTPUT(&args.output),
        { "split", 0, "PART", FX_OPT_CHOICE, &args.split, 0, 0, "train|test|holdout|val|pool",
          "which images (default train)", NULL },
        { "count", 'n', "N", FX_OPT_INT, &args.count, 1, N_IMAGES_MAX, NULL,
          "how many images (default 32)", NULL },
        { "labels", 0, "KIND", FX_OPT_CHOICE, &args.labels, 0, 0, "fine|coarse",
          "which names to print below them (default fine)", NULL },
        { "augment", 0, "POLICY", FX_OPT_ENUM, &args.augment, 0, 0, FX_AUGMENT_POLICIES,
          "augment as in training (default none)", NULL },
        { "mix", 0, "KIND", FX_OPT_ENUM, &args.mix, 0, 0, FX_MIX_KINDS,
          "mix the batch as in training (default none)", NULL },
        { "mix-alpha", 0, "A", FX_OPT_REAL, &args.mix_alpha, 0.01, 100, NULL,
          "the mixing share follows Beta(A, A) (default 1)", NULL },
        { "epoch", 0, "N", FX_OPT_INT, &args.epoch, 1, 1000000, NULL,
          "the epoch to look at (default 1)", NULL },
        { "seed", 0, "N", FX_OPT_INT, &args.seed, 0, 0x1p53, NULL, "seed of the run (default 42)",
          NULL },
        { "shuffle", 0, NULL, FX_OPT_FLAG, &args.shuffle, 0, 0, NULL,
          "in the order of the epoch (default: ascending)", NULL },
        { "columns", 0, "N", FX_OPT_INT, &args.columns, 1, 64, NULL, "images in a row (default 8)",
          NULL },
        { "scale", 0, "N", FX_OPT_INT, &args.scale, 1, 16, NULL,
          "side of a pixel on the sheet (default 4)", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "cifar-view",
        .synopsis = "[options] [DATASET]",
        .summary = "Draw images of a data set with their labels as a PNG contact sheet, plain or "
                   "as an epoch of training sees them.",
        .options = options,
        .example = "cifar-view --augment strong --mix cutmix -o batch.png cifar100.safetensors",
    };
    struct fx_err err = { 0 };
    enum fx_status status;

    int n_operands = fx_tool_start(&tool, argc, argv);
    args.input = n_operands > 0 ? argv[0] : NULL;
    if (n_operands > 1)
        status = fx_fail(&err, FX_EUSAGE, "%s: one data set at a time", argv[1]);
    else
        status = run(&args, &err);
    return fx_tool_exit(status, &err);
}
