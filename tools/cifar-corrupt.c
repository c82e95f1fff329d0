/* cifar-corrupt: the test images of a data set in, the same with noise, blur and the like out
 * (cifar-corrupt(1)). */
#include "base/io.h"
#include "base/log.h"
#include "base/tool.h"
#include "data/corrupted.h"
#include "image/corrupt.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct args {
    const char *input, *output, *names;
    int64_t seed, limit;
};

/* Which corruptions; all of them where none are named. */
static enum fx_status choose(const char *names, bool wanted[FX_N_CORRUPTIONS], struct fx_err *err)
{
    for (int i = 0; i < FX_N_CORRUPTIONS; i++)
        wanted[i] = !names;
    while (names) {
        size_t n = strcspn(names, ",");
        bool is_known = false;
        for (int i = 0; i < FX_N_CORRUPTIONS; i++)
            if (strlen(fx_corruption_names[i]) == n &&
                strncmp(fx_corruption_names[i], names, n) == 0)
                wanted[i] = is_known = true;
        if (!is_known)
            return fx_fail(err, FX_EUSAGE, "--corruptions %.*s: no such corruption; see --help",
                           (int)(n < 80 ? n : 80), names);
        names = names[n] == ',' ? names + n + 1 : NULL;
    }
    return FX_OK;
}

/* One corruption at all severities into `images`. */
static enum fx_status corrupt(const struct fx_image_set *from, int64_t n,
                              enum fx_corruption corruption, uint64_t seed, uint8_t *images,
                              struct fx_err *err)
{
    for (int severity = 1; severity <= FX_CORRUPTED_SEVERITIES; severity++) {
        struct fx_corruptor corruptor;
        enum fx_status status = fx_corruptor_open(&corruptor, corruption, severity, seed, err);
        for (int64_t i = 0; i < n && status == FX_OK; i++, images += FX_IMAGE_BYTES)
            status =
                fx_corrupt(&corruptor, (uint32_t)i, from->images + i * FX_IMAGE_BYTES, images, err);
        fx_corruptor_close(&corruptor);
        FX_TRY(status);
    }
    return FX_OK;
}

static enum fx_status make(const struct args *args, const struct fx_dataset *ds,
                           struct fx_corrupted *content, uint8_t **blocks, struct fx_err *err)
{
    bool wanted[FX_N_CORRUPTIONS];

    FX_TRY(choose(args->names, wanted, err));
    content->n = args->limit > 0 && args->limit < ds->test.n ? args->limit : ds->test.n;
    content->fine = ds->test.fine;
    for (int i = 0; i < FX_N_CORRUPTIONS; i++) {
        if (!wanted[i])
            continue;
        blocks[i] = malloc(FX_CORRUPTED_SEVERITIES * (size_t)content->n * FX_IMAGE_BYTES);
        if (!blocks[i])
            return fx_fail(err, FX_EFAIL, "out of memory for %s", fx_corruption_names[i]);
        content->name[content->n_corruptions] = fx_corruption_names[i];
        content->images[content->n_corruptions++] = blocks[i];
        FX_TRY(corrupt(&ds->test, content->n, i, (uint64_t)args->seed, blocks[i], err));
        fx_log_verbose("%s", fx_corruption_names[i]);
    }
    return FX_OK;
}

static enum fx_status run(const struct args *args, struct fx_err *err)
{
    struct fx_output out = { .fd = -1 };
    struct fx_dataset ds = { 0 };
    struct fx_corrupted content = { 0 };
    uint8_t *blocks[FX_N_CORRUPTIONS] = { NULL };
    char source[64];
    enum fx_status status;

    FX_TRY(fx_output_open(&out, args->output, true, err));
    FX_TRY_OUT(fx_dataset_open(&ds, args->input, err));
    FX_TRY_OUT(make(args, &ds, &content, blocks, err));
    snprintf(source, sizeof source, "cifar-corrupt, seed %" PRId64, args->seed);
    FX_TRY_OUT(
        fx_corrupted_write(&content, source, out.fd, out.is_stdout ? "stdout" : out.path, err));
    FX_TRY_OUT(fx_output_commit(&out, err));
    fx_log_info("%d corruptions of %lld images at %d severities", content.n_corruptions,
                (long long)content.n, FX_CORRUPTED_SEVERITIES);
out:
    fx_output_abandon(&out);
    for (int i = 0; i < FX_N_CORRUPTIONS; i++)
        free(blocks[i]);
    fx_dataset_close(&ds);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = { .seed = 42 };
    const struct fx_option options[] = {
        FX_OPTION_OUTPUT(&args.output),
        { "corruptions", 0, "NAMES", FX_OPT_STRING, &args.names, 0, 0,
          "gaussian_noise|shot_noise|impulse_noise|defocus_blur|glass_blur|motion_blur|zoom_blur|"
          "fog|brightness|contrast|elastic_transform|pixelate|jpeg_compression",
          "those to make, separated by commas (default: all)", NULL },
        { "limit", 0, "N", FX_OPT_INT, &args.limit, 0, 1e9, NULL,
          "at most the first N test images; 0: all (default)", NULL },
        { "seed", 0, "N", FX_OPT_INT, &args.seed, 0, 0x1p53, NULL,
          "seed of the random numbers (default 42)", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "cifar-corrupt",
        .synopsis = "[options] [DATASET]",
        .summary = "Make corrupted versions of the test images of a data set, at the severities of "
                   "CIFAR-100-C, for fusion-eval --corrupted.",
        .options = options,
        .example = "cifar-corrupt -o corrupted.safetensors cifar100.safetensors",
    };
    struct fx_err err = { 0 };

    int n_operands = fx_tool_start(&tool, argc, argv);
    args.input = n_operands > 0 ? argv[0] : NULL;
    enum fx_status status = n_operands > 1
                                ? fx_fail(&err, FX_EUSAGE, "%s: one data set at a time", argv[1])
                                : run(&args, &err);
    return fx_tool_exit(status, &err);
}
