/* cifar-prep: a CIFAR archive in, the data set that every trainer maps out (cifar-prep(1)). */
#include "archive/cifar.h"
#include "base/io.h"
#include "base/log.h"
#include "base/tool.h"
#include "data/corrupted.h"
#include "data/dataset_write.h"
#include "tensor/npy.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct args {
    const char *input; /* NULL: stdin */
    const char *output, *holdout, *export_dir, *mean, *std;
    double holdout_fraction, val_fraction;
    int64_t seed, n_experts, min_share;
    const char *rule; /* of the shares, or their file */
    struct fx_share_config shares;
    bool fraction_given, experts_given, min_share_given, corrupted;
};

enum { PATH_BYTES = 4096, SPLIT_TEXT_BYTES = 160 };

/* Constants, not computed from the images at hand: every expert was trained with them. */
static const double mean_cifar100[3] = { 0.5071, 0.4865, 0.4409 };
static const double std_cifar100[3] = { 0.2673, 0.2564, 0.2762 };
static const double mean_cifar10[3] = { 0.4914, 0.4822, 0.4465 };
static const double std_cifar10[3] = { 0.2470, 0.2435, 0.2616 };

/* Three numbers for the option, "0.5,0.5,0.5", or the constants when it was not given. */
static enum fx_status read_channels(const char *option, const char *text, const double constants[3],
                                    double above, double values[3], struct fx_err *err)
{
    const char *at = text;

    for (int c = 0; c < 3; c++) {
        char *end = NULL;
        values[c] = text ? strtod(at, &end) : constants[c];
        if (!text)
            continue;
        float used = (float)values[c]; /* by who normalises images */
        if (end == at || *end != (c < 2 ? ',' : '\0') || !isfinite(used) || (double)used <= above)
            return fx_fail(err, FX_EUSAGE, "--%s %s: must be three%s numbers, R,G,B", option, text,
                           above == 0 ? " positive" : "");
        at = end + 1;
    }
    return FX_OK;
}

static enum fx_status draw_splits(const struct args *args, const struct fx_cifar *cifar,
                                  struct fx_splits *splits, struct fx_err *err)
{
    int64_t *holdout = NULL;
    struct fx_split_config config = {
        .seed = (uint64_t)args->seed,
        .holdout_fraction = args->holdout_fraction,
        .val_fraction = args->val_fraction,
        .holdout_name = args->holdout,
        .shares = args->shares,
    };

    config.shares.fine = cifar->train.fine;
    config.shares.coarse = cifar->train.coarse;
    config.shares.n_fine = (int)cifar->fine.n;
    config.shares.n_coarse = (int)cifar->coarse.n;
    if (args->holdout)
        FX_TRY(fx_npy_read_indices(args->holdout, &holdout, &config.n_holdout, err));
    config.holdout = holdout;
    enum fx_status status = fx_splits_draw(splits, &config, (int64_t)cifar->train.n, err);
    free(holdout);
    return status;
}

/* For people.  The default shares go without saying, as they always did. */
static void describe_splits(const struct args *args, const struct fx_splits *splits,
                            char text[SPLIT_TEXT_BYTES])
{
    const struct fx_share_config *shares = &args->shares;
    char holdout[64] = "given";
    size_t at;

    if (!args->holdout)
        snprintf(holdout, sizeof holdout, "%g of the training images", args->holdout_fraction);
    snprintf(text, SPLIT_TEXT_BYTES, "seed %" PRId64 "; holdout: %s; val: %g of the holdout",
             args->seed, holdout, args->val_fraction);
    at = strlen(text);
    if (shares->rule != FX_SHARES_IID || splits->n_experts != FX_SHARE_EXPERTS)
        snprintf(text + at, SPLIT_TEXT_BYTES - at, "; shares of %d experts: %s", splits->n_experts,
                 shares->rule == FX_SHARES_FILE ? "given" : args->rule);
}

static enum fx_status export_list(const char *dir, const char *file, struct fx_index_list list,
                                  struct fx_err *err)
{
    char path[PATH_BYTES];

    if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, file) >= sizeof path)
        return fx_fail(err, FX_EUSAGE, "--export-splits %s: path too long", dir);
    return fx_npy_write_indices(path, list.values, (size_t)list.n, err);
}

/* As --shares reads them. */
static enum fx_status print_shares(const struct fx_splits *splits, struct fx_output *out,
                                   struct fx_err *err)
{
    FILE *file = fdopen(dup(out->fd), "w");

    if (!file)
        return fx_fail_errno(err, "%s", out->path);
    for (int k = 0; k < splits->n_experts; k++) {
        const struct fx_index_list *share = &splits->expert[k];
        for (int64_t i = 0; i < share->n; i++)
            fprintf(file, "%s%" PRId64, i > 0 ? " " : "", share->values[i]);
        putc('\n', file);
    }
    bool failed = ferror(file);
    if (fclose(file) != 0 || failed)
        return fx_fail_errno(err, "%s", out->path);
    return fx_output_commit(out, err);
}

static enum fx_status export_shares(const char *dir, const struct fx_splits *splits,
                                    struct fx_err *err)
{
    struct fx_output out = { .fd = -1 };
    char path[PATH_BYTES];
    enum fx_status status;

    if ((size_t)snprintf(path, sizeof path, "%s/expert_shares.txt", dir) >= sizeof path)
        return fx_fail(err, FX_EUSAGE, "--export-splits %s: path too long", dir);
    status = fx_output_open(&out, path, false, err);
    if (status == FX_OK)
        status = print_shares(splits, &out, err);
    fx_output_abandon(&out);
    return status;
}

static enum fx_status export_splits(const char *dir, const struct fx_splits *splits,
                                    struct fx_err *err)
{
    FX_TRY(fx_make_dirs(dir, err));
    FX_TRY(export_list(dir, "fusion_holdout_indices.npy", splits->fusion_holdout, err));
    FX_TRY(export_shares(dir, splits, err));
    return export_list(dir, "expert_train_indices.npy", splits->expert_pool, err);
}

static struct fx_image_set view(const struct fx_cifar_part *part)
{
    return (struct fx_image_set){ part->images, part->fine, part->coarse, (int64_t)part->n };
}

static enum fx_status write_dataset(const struct args *args, const struct fx_cifar *cifar,
                                    const struct fx_splits *splits, const double mean[3],
                                    const double std[3], struct fx_output *out, struct fx_err *err)
{
    char split[SPLIT_TEXT_BYTES];
    struct fx_dataset_content content = {
        .train = view(&cifar->train),
        .test = view(&cifar->test),
        .fine_names = cifar->fine.names,
        .n_fine = cifar->fine.n,
        .coarse_names = cifar->coarse.names,
        .n_coarse = cifar->coarse.n,
        .mean = { mean[0], mean[1], mean[2] },
        .std = { std[0], std[1], std[2] },
        .splits = splits,
        .source = fx_cifar_layout_name(cifar->layout),
        .split = split,
    };

    describe_splits(args, splits, split);
    FX_TRY(fx_dataset_write(&content, out->fd, out->is_stdout ? "stdout" : out->path, err));
    if (args->export_dir)
        FX_TRY(export_splits(args->export_dir, splits, err));
    return fx_output_commit(out, err);
}

/* What an expert gets: how many images, how many of them no other expert has, how many classes and
 * superclasses, and the part of the most frequent class. */
static void report_share(const struct fx_cifar *cifar, const struct fx_splits *splits,
                         const uint8_t *n_owners, int k)
{
    const struct fx_index_list *share = &splits->expert[k];
    int64_t fine[FX_CIFAR_NAMES_MAX] = { 0 }, coarse[FX_CIFAR_NAMES_MAX] = { 0 };
    int64_t n_own = 0, largest = 0;
    int n_fine = 0, n_coarse = 0;

    for (int64_t i = 0; i < share->n; i++) {
        int64_t image = share->values[i];
        n_own += n_owners[image] == 1;
        n_fine += fine[cifar->train.fine[image]]++ == 0;
        n_coarse += coarse[cifar->train.coarse[image]]++ == 0;
        if (fine[cifar->train.fine[image]] > largest)
            largest = fine[cifar->train.fine[image]];
    }
    fx_log_info("%6d %8" PRId64 " %8" PRId64 " %8d %13d %14.1f %%", k, share->n, n_own, n_fine,
                n_coarse, share->n > 0 ? 100.0 * (double)largest / (double)share->n : 0.0);
}

static enum fx_status report(const struct fx_cifar *cifar, const struct fx_splits *splits,
                             struct fx_err *err)
{
    uint8_t *n_owners = calloc(cifar->train.n, 1);

    if (!n_owners)
        return fx_fail(err, FX_EFAIL, "out of memory for the table of the shares");
    for (int k = 0; k < splits->n_experts; k++)
        for (int64_t i = 0; i < splits->expert[k].n; i++)
            n_owners[splits->expert[k].values[i]]++;
    fx_log_info("%s: %zu training and %zu test images, %zu classes",
                fx_cifar_layout_name(cifar->layout), cifar->train.n, cifar->test.n, cifar->fine.n);
    fx_log_info("holdout %" PRId64 " (%" PRId64 " for validation), pool %" PRId64 ", %d experts",
                splits->fusion_holdout.n, splits->val.n, splits->expert_pool.n, splits->n_experts);
    fx_log_info("expert   images only its  classes  superclasses  largest class");
    for (int k = 0; k < splits->n_experts; k++)
        report_share(cifar, splits, n_owners, k);
    free(n_owners);
    return FX_OK;
}

static void report_usage(const struct timespec *start)
{
    struct timespec now;
    struct rusage used = { 0 };

    clock_gettime(CLOCK_MONOTONIC, &now);
    getrusage(RUSAGE_SELF, &used);
    fx_log_verbose("%.2f s, peak memory %ld MiB",
                   (double)(now.tv_sec - start->tv_sec) +
                       1e-9 * (double)(now.tv_nsec - start->tv_nsec),
                   used.ru_maxrss / 1024);
}

/* The output is opened first: a wrong -o is noticed before the archive is read. */
static enum fx_status run(struct args *args, struct fx_err *err)
{
    struct fx_output out = { .fd = -1 };
    struct fx_cifar cifar = { 0 };
    struct fx_splits splits = { 0 };
    struct timespec start;
    double mean[3], std[3];
    enum fx_status status;

    clock_gettime(CLOCK_MONOTONIC, &start);
    /* Looks at what was given; what was not depends on the archive. */
    FX_TRY(read_channels("mean", args->mean, mean_cifar100, -INFINITY, mean, err));
    FX_TRY(read_channels("std", args->std, std_cifar100, 0, std, err));
    args->shares.n_experts = args->experts_given ? (int)args->n_experts : 0;
    args->shares.min_images = args->min_share_given ? args->min_share : -1;
    FX_TRY(fx_shares_parse(args->rule, &args->shares, err));
    FX_TRY_OUT(fx_output_open(&out, args->output, true, err));
    FX_TRY_OUT(fx_cifar_read(&cifar, args->input, err));
    if (fx_cifar_is_cifar10(cifar.layout)) {
        FX_TRY_OUT(read_channels("mean", args->mean, mean_cifar10, -INFINITY, mean, err));
        FX_TRY_OUT(read_channels("std", args->std, std_cifar10, 0, std, err));
    }
    FX_TRY_OUT(draw_splits(args, &cifar, &splits, err));
    FX_TRY_OUT(write_dataset(args, &cifar, &splits, mean, std, &out, err));
    FX_TRY_OUT(report(&cifar, &splits, err));
    report_usage(&start);
out:
    fx_output_abandon(&out);
    fx_splits_free(&splits);
    fx_cifar_free(&cifar);
    return status;
}

/* An archive of corrupted test images has no splits. */
static enum fx_status run_corrupted(const struct args *args, struct fx_err *err)
{
    struct fx_output out = { .fd = -1 };
    struct fx_cifar_corrupted read = { 0 };
    struct fx_corrupted content = { 0 };
    enum fx_status status;

    FX_TRY(fx_output_open(&out, args->output, true, err));
    FX_TRY_OUT(fx_cifar_corrupted_read(&read, args->input, err));
    content = (struct fx_corrupted){ .n_corruptions = read.n_corruptions,
                                     .fine = read.fine,
                                     .n = (int64_t)read.n };
    for (int i = 0; i < read.n_corruptions; i++) {
        content.name[i] = read.corruption[i].name;
        content.images[i] = read.corruption[i].images;
    }
    FX_TRY_OUT(
        fx_corrupted_write(&content, "CIFAR-C", out.fd, out.is_stdout ? "stdout" : out.path, err));
    FX_TRY_OUT(fx_output_commit(&out, err));
    fx_log_info("%d corruptions of %zu images at %d severities", read.n_corruptions, read.n,
                FX_SEVERITIES);
out:
    fx_output_abandon(&out);
    fx_cifar_corrupted_free(&read);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = { .holdout_fraction = 0.2, .val_fraction = 0.1, .seed = 42, .rule = "iid" };
    const struct fx_option options[] = {
        FX_OPTION_OUTPUT(&args.output),
        { "holdout", 0, "FILE", FX_OPT_STRING, &args.holdout, 0, 0, NULL,
          "take the fusion holdout from this .npy file of image numbers (default: drawn)", NULL },
        { "holdout-fraction", 0, "X", FX_OPT_REAL, &args.holdout_fraction, 0, 1, NULL,
          "part of the training images in the holdout (default 0.2)", &args.fraction_given },
        { "val-fraction", 0, "X", FX_OPT_REAL, &args.val_fraction, 0, 0.9, NULL,
          "part of the holdout for validation (default 0.1)", NULL },
        { "seed", 0, "N", FX_OPT_INT, &args.seed, 0, 0x1p53, NULL,
          "seed of all splits (default 42)", NULL },
        { "experts", 0, "K", FX_OPT_INT, &args.n_experts, 2, FX_MAX_EXPERTS, NULL,
          "number of experts (default 4, or the lines of a FILE of shares)", &args.experts_given },
        { "shares", 0, "RULE", FX_OPT_STRING, &args.rule, 0, 0, FX_SHARE_RULES,
          "images of each expert (default iid: 40 % of the pool for all, the rest divided)", NULL },
        { "min-share", 0, "N", FX_OPT_INT, &args.min_share, 0, 1e9, NULL,
          "refuse shares of fewer images (default 128, a batch; iid: 0)", &args.min_share_given },
        { "mean", 0, "R,G,B", FX_OPT_STRING, &args.mean, 0, 0, NULL,
          "mean of each channel, for pixels in 0..1 (default: known constants)", NULL },
        { "std", 0, "R,G,B", FX_OPT_STRING, &args.std, 0, 0, NULL,
          "standard deviation of each channel (default: known constants)", NULL },
        { "export-splits", 0, "DIR", FX_OPT_STRING, &args.export_dir, 0, 0, NULL,
          "also write holdout and expert pool to DIR as .npy files", NULL },
        { "corrupted", 0, NULL, FX_OPT_FLAG, &args.corrupted, 0, 0, NULL,
          "the archive is CIFAR-100-C or CIFAR-10-C (.tar of .npy), for fusion-eval", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "cifar-prep",
        .synopsis = "[options] [ARCHIVE]",
        .summary = "Turn a CIFAR-100 or CIFAR-10 archive (.tar.gz, or the folder it was extracted "
                   "to; python or binary layout) into a checked data set with its splits, for "
                   "fusion-train and the other tools.",
        .options = options,
        .example = "cifar-prep -o cifar100.safetensors cifar-100-python.tar.gz",
    };
    struct fx_err err = { 0 };
    enum fx_status status;

    int n_operands = fx_tool_start(&tool, argc, argv);
    args.input = n_operands > 0 ? argv[0] : NULL;
    if (n_operands > 1)
        status = fx_fail(&err, FX_EUSAGE, "%s: one archive at a time", argv[1]);
    else if (args.holdout && args.fraction_given)
        status = fx_fail(&err, FX_EUSAGE, "--holdout-fraction: has no meaning with --holdout");
    else
        status = args.corrupted ? run_corrupted(&args, &err) : run(&args, &err);
    return fx_tool_exit(status, &err);
}
