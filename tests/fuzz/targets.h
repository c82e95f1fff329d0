/* What reads strangers' bytes, each as a function of them: for libFuzzer (tests/attack/fuzzer.c)
 * and, without clang, for the inputs that are kept and their mutants (tests/fuzz-inputs.c).
 *
 * Whatever comes in is read, or refused in words; what was read can be written, and is the same
 * when it is read again. */
#ifndef FX_TESTS_TARGETS_H
#define FX_TESTS_TARGETS_H

#include "archive/cifar.h"
#include "archive/pickle_numpy_internal.h"
#include "archive/pth.h"
#include "archive/unpickle_internal.h"
#include "base/option.h"
#include "config/train_options.h"
#include "image/picture.h"
#include "surroundings.h"
#include "target_resume.h"
#include "tensor/npy.h"
#include "tensor/safetensors.h"
#include "track/metrics_csv.h"
#include "track/report.h"
#include "track/tensorboard.h"
#include "track/top.h"
#include "track/wandb.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- tensors --------------------------------------------------------------------------------- */

static void touch(const struct fx_tensor_set *set)
{
    for (size_t i = 0; i < set->n_tensors; i++) {
        const uint8_t *data = set->tensors[i].data;
        for (size_t k = 0; data && k < set->tensors[i].n_bytes && k < 4096; k++)
            target_sink += data[k];
    }
}

static void same_tensors(const struct fx_tensor_set *a, const struct fx_tensor_set *b)
{
    must(a->n_tensors == b->n_tensors, "as many tensors");
    for (size_t i = 0; i < a->n_tensors; i++) {
        const struct fx_tensor *one = &a->tensors[i], *other = fx_tensor_set_find(b, one->name);
        must(other && other->dtype == one->dtype && other->n_dims == one->n_dims &&
                 other->n_bytes == one->n_bytes,
             "the same tensor");
        must(memcmp(other->shape, one->shape, (size_t)one->n_dims * sizeof *one->shape) == 0,
             "the same shape");
        must(one->n_bytes == 0 || memcmp(other->data, one->data, one->n_bytes) == 0,
             "the same values");
    }
}

/* Written as safetensors and as .pth, and read again. */
static void write_and_read(const struct fx_tensor_set *set, bool is_pth)
{
    struct fx_tensor_set again = { 0 };
    struct fx_err err = { 0 };
    int fd = memory_file(NULL, 0);
    enum fx_status status = is_pth ? fx_pth_write(set, fd, "m", "test", &err)
                                   : fx_safetensors_write(set, fd, "test", NULL, NULL, &err);
    struct content c = content_of(fd);
    const struct fx_input in = { .bytes = c.bytes, .n_bytes = c.n, .name = "test" };

    if (status == FX_OK && is_pth) {
        must(fx_pth_read(&again, &in, &err) == FX_OK, "what was written can be read");
        must(again.n_tensors == set->n_tensors, "as many tensors");
    } else if (status == FX_OK) {
        must(fx_safetensors_parse(&again, c.bytes, c.n, "test", &err) == FX_OK, err.msg);
        same_tensors(set, &again);
    }
    fx_tensor_set_fini(&again);
    free(c.bytes);
}

static void target_pth(const uint8_t *bytes, size_t n)
{
    const struct fx_input in = { .bytes = bytes, .n_bytes = n, .name = "test" };
    struct fx_tensor_set set;
    struct fx_err err = { 0 };
    enum fx_status status = fx_pth_read(&set, &in, &err);

    judge(status, &err);
    if (status == FX_OK)
        touch(&set);
    fx_tensor_set_fini(&set);
}

static void target_safetensors(const uint8_t *bytes, size_t n)
{
    struct fx_tensor_set set = { 0 };
    struct fx_err err = { 0 };
    enum fx_status status = fx_safetensors_parse(&set, bytes, n, "test", &err);

    judge(status, &err);
    if (status == FX_OK)
        touch(&set);
    fx_tensor_set_fini(&set);
}

/* The writers: of what a safetensors file or a .pth holds. */
static void target_writers(const uint8_t *bytes, size_t n)
{
    const struct fx_input in = { .bytes = bytes, .n_bytes = n, .name = "test" };
    struct fx_tensor_set set = { 0 };
    struct fx_err err = { 0 };
    enum fx_status status = fx_pth_is_pth(bytes, n)
                                ? fx_pth_read(&set, &in, &err)
                                : fx_safetensors_parse(&set, bytes, n, "test", &err);

    if (status == FX_OK) {
        write_and_read(&set, false);
        write_and_read(&set, true);
    }
    fx_tensor_set_fini(&set);
}

static void target_pickle(const uint8_t *bytes, size_t n)
{
    struct fx_pickle pickle;
    struct fx_pickle_array array;
    struct fx_err err = { 0 };
    size_t used;

    enum fx_status status = fx_unpickle(&pickle, bytes, n, &used, "test", &err);
    judge(status, &err);
    if (status == FX_OK && fx_pickle_is_array(pickle.root)) {
        status = fx_pickle_array_view(pickle.root, &array, "test", &err);
        judge(status, &err);
        for (size_t i = 0; status == FX_OK && i < array.n_items; i++)
            target_sink += isnan(fx_pickle_array_real(&array, i));
    }
    fx_pickle_fini(&pickle);
}

static void target_npy(const uint8_t *bytes, size_t n)
{
    struct fx_npy_bytes array;
    struct fx_err err = { 0 };
    int64_t *values;
    size_t n_values;

    judge(fx_npy_view_indices(bytes, n, "test", &values, &n_values, &err), &err);
    for (size_t i = 0; values && i < n_values; i++)
        target_sink += (uint64_t)values[i];
    free(values);
    err = (struct fx_err){ 0 };
    enum fx_status status = fx_npy_view_bytes(bytes, n, "test", &array, &err);
    judge(status, &err);
    for (size_t i = 0; status == FX_OK && i < array.n; i++)
        target_sink += array.values[i];
}

static void target_cifar(const uint8_t *bytes, size_t n)
{
    int fd = memory_file(bytes, n);
    struct fx_cifar cifar = { 0 };
    struct fx_err err = { 0 };
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    enum fx_status status = fx_cifar_read(&cifar, path, &err);
    judge(status, &err);
    if (status == FX_OK)
        for (size_t i = 0; i < cifar.train.n; i++)
            must(cifar.train.fine[i] < cifar.fine.n && cifar.train.coarse[i] < cifar.coarse.n,
                 "a label has a name");
    fx_cifar_free(&cifar);
    close(fd);
}

static void target_picture(const uint8_t *bytes, size_t n)
{
    uint8_t image[FX_IMAGE_BYTES] = { 0 };
    struct fx_picture picture;
    struct fx_err err = { 0 };
    enum fx_status status = fx_picture_decode(&picture, bytes, n, "test", &err);

    judge(status, &err);
    if (status != FX_OK)
        return;
    must(picture.n_read <= n && picture.orientation >= 1 && picture.orientation <= 8, "a picture");
    must(fx_picture_fit(&picture, image, &err) == FX_OK, "a picture can be fitted");
    target_sink += image[0];
    fx_picture_fini(&picture);
}

/* ---- metrics --------------------------------------------------------------------------------- */

static void read_as_table(const uint8_t *bytes, size_t n, const char *event)
{
    struct fx_csv_run run = { .in = fmemopen((void *)bytes, n, "r"),
                              .in_name = "test",
                              .name = "=a" };
    int fd = memfd_create("table", 0);
    struct fx_csv_out out = { .fd = fd, .name = "table" };
    struct fx_err err = { 0 };
    int64_t n_rows, n_lines = 0;
    bool is_quoted = false;

    must(run.in, "a stream");
    enum fx_status status = fx_metrics_csv(&run, 1, event, &out, &n_rows, &err);
    judge(status, status == FX_EINPUT ? &run.why : &err);
    struct content table = content_of(fd);
    for (size_t i = 0; i < table.n; i++) {
        bool begins = i == 0 || (!is_quoted && strchr(",\n", table.bytes[i - 1]));
        is_quoted ^= table.bytes[i] == '"';
        n_lines += table.bytes[i] == '\n' && !is_quoted;
        must(table.bytes[i] >= ' ' || strchr("\t\n\r", table.bytes[i]), "no control characters");
        must(!begins || !strchr("=@\t\r", table.bytes[i]), "no formulas in a table");
    }
    must(table.n == 0 || n_lines == n_rows + 1, "a line for every row");
    free(table.bytes);
    fclose(run.in);
}

static void read_as_log(const uint8_t *bytes, size_t n, bool is_wandb)
{
    const struct fx_wandb_options options = { .dir = scratch() };
    FILE *in = fmemopen((void *)bytes, n, "r");
    struct fx_err err = { 0 };
    char *path = NULL;

    must(in, "a stream");
    enum fx_status status = is_wandb ? fx_wandb(in, "test", &options, -1, &path, &err)
                                     : fx_tensorboard(in, "test", options.dir, -1, &path, &err);
    judge(status, &err);
    free(path);
    fclose(in);
}

static void read_as_runs(const uint8_t *bytes, size_t n)
{
    struct fx_top_view view = { .key = "best", .filter = "" };
    const char *dir = scratch();
    FILE *out = fopen("/dev/null", "w");
    struct fx_runs runs = { 0 };

    put(dir, "metrics.jsonl", bytes, n);
    must(out && fx_runs_scan(&runs, dir, NULL) == FX_OK, "runs are found");
    must(fx_report_write(out, "test", &runs), "a page");
    fx_top_write(out, &runs, &view, 1700000000);
    fx_runs_fini(&runs);
    fclose(out);
}

static void target_metrics(const uint8_t *bytes, size_t n)
{
    static const char *const events[] = { "epoch", "step",       "eval", "end",
                                          "class", "superclass", "bin" };

    if (n == 0)
        return;
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        read_as_table(bytes, n, events[i]);
    read_as_runs(bytes, n);
    read_as_log(bytes, n, true);
    read_as_log(bytes, n, false);
}

/* ---- options --------------------------------------------------------------------------------- */

/* Words that end with a zero byte: a command line of fusion-train. */
static void target_options(const uint8_t *bytes, size_t n)
{
    enum { WORDS_MAX = 64 };
    char name[] = "fusion-train", *words[WORDS_MAX + 1] = { name };
    struct fx_option rows[FX_TRAIN_ROWS_MAX];
    struct fx_option_shared shared = { 0 };
    struct fx_train_args args = { 0 };
    struct fx_err err = { 0 };
    int n_words = 1, n_operands;
    char *text = malloc(n + 1);

    must(text, "memory");
    memcpy(text, bytes, n);
    text[n] = '\0';
    for (size_t at = 0; at < n && n_words < WORDS_MAX; at += strlen(text + at) + 1)
        words[n_words++] = text + at;
    fx_train_args_init(&args, "fusion-train", FX_OF_FUSION);
    fx_train_rows(rows, 0, &args, FX_OF_FUSION);
    const struct fx_tool tool = { .name = name, .options = rows };
    enum fx_status status = fx_option_parse(&tool, n_words, words, &shared, &n_operands, &err);
    if (status == FX_OK && args.settings.fusion != FX_NONE)
        fx_recipe_fusion(&args.settings, &args.given, 64);
    if (status == FX_OK)
        status = fx_train_check(&args, &err);
    must(status == FX_OK || (status == FX_EUSAGE && err.msg[0] != '\0'), "options are refused");
    free(text);
}

/* ---- by name --------------------------------------------------------------------------------- */

static const struct target {
    const char *name;
    void (*run)(const uint8_t *bytes, size_t n);
} targets[] = {
    { "pth", target_pth },
    { "pickle", target_pickle },
    { "safetensors", target_safetensors },
    { "npy", target_npy },
    { "cifar", target_cifar },
    { "picture", target_picture },
    { "metrics", target_metrics },
    { "resume", target_resume },
    { "options", target_options },
    { "writers", target_writers },
};

static const struct target *target_named(const char *name)
{
    for (size_t i = 0; name && i < sizeof targets / sizeof *targets; i++)
        if (strcmp(targets[i].name, name) == 0)
            return &targets[i];
    fprintf(stderr, "no such target: %s\n", name ? name : "");
    exit(2);
}

#endif
