/* One whole training step of a fusion model, timed: our side of bench/compare.py and
 * bench/compare_gpu.py.
 *
 * The same as bench/torch_step.py: random images, fresh weights, default dropout; forward, losses
 * with smoothing, backward, clip, AdamW.  A back end that takes its images from a resident data set
 * does so here, with made images.  Prints one JSON object.
 *
 * --check runs three steps before that, one after the other: the first is launched as it is, the
 * second recorded, the third replayed, where a back end does so.  Their losses and gradient norms,
 * and a CRC-32 of all parameters behind them, are what two ways to run the same step must agree
 * in, to the bit on one device. */
#include "backend/backend.h"
#include "base/tool.h"
#include "net/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <zlib.h>

enum { STEPS_MAX = 1000, BATCH_MAX = 4096, CHECKED = 3 };

struct args {
    const char *arch, *fusion, *device, *precision;
    int64_t batch, steps, warmup, threads;
    bool profile, check;
};

/* Everything a step needs; owned. */
struct bench {
    struct fx_choice choice;
    const struct fx_backend *backend;
    struct fx_device *device;
    struct fx_model *model;
    struct fx_program *program;
    struct fx_graph graph;
    struct fx_memory memory;
    size_t free_bytes; /* of the device, before the model */
    float *pixels;     /* NULL: the back end has the images */
    uint8_t *images, *labels;
    uint32_t *numbers;
    struct fx_augment_row *rows;
};

static double seconds_of(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static enum fx_status open_model(struct bench *b, const struct args *args, struct fx_err *err)
{
    struct fx_model_config config = { .arch = args->arch,
                                      .fusion = args->fusion,
                                      .n_experts = 4,
                                      .n_classes = 100,
                                      .expert_dropout = -1,
                                      .fusion_dropout = -1 };
    struct fx_device_options options = { .n_threads = (int)args->threads,
                                         .precision = strcmp(args->precision, "bf16") == 0
                                                          ? FX_PRECISION_BF16
                                                          : FX_PRECISION_FP32 };

    FX_TRY(fx_model_build(&b->graph, &config, err));
    FX_TRY(fx_choose(&b->choice, args->device, err));
    b->backend = b->choice.backend;
    options.ordinal = b->choice.ordinal;
    FX_TRY(b->backend->device_open(&b->device, &options, err));
    if (b->backend->memory_left != NULL)
        FX_TRY(b->backend->memory_left(b->device, &b->free_bytes, err));
    FX_TRY(b->backend->model_create(&b->model, b->device, &b->graph, true, err));
    FX_TRY(b->backend->program_create(&b->program, b->model, FX_TRAIN, (int)args->batch, err));
    b->backend->model_memory(b->model, &b->memory);
    return b->backend->model_allocate(b->model, err);
}

static enum fx_status write_initial_values(const struct bench *b, struct fx_err *err)
{
    for (int i = 0; i < b->graph.n_params; i++) {
        const struct fx_param *param = &b->graph.params[i];
        enum fx_status status = FX_OK;

        if (param->kind == FX_PARAM_COUNTER)
            continue;
        float *values = malloc((size_t)param->n_elements * sizeof *values);
        if (values == NULL)
            return fx_fail(err, FX_EFAIL, "out of memory");
        fx_param_init_fill(param, 42, values);
        status = b->backend->tensor_write(b->model, i, FX_ROLE_VALUE, values, err);
        free(values);
        FX_TRY(status);
    }
    return FX_OK;
}

static uint8_t next_noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (uint8_t)(*state >> 24);
}

/* Finished pixels, or a data set of bytes with rows that leave them as they are. */
static enum fx_status make_images(struct bench *b, int n, struct fx_err *err)
{
    struct fx_dataset dataset = { .train = { .images = b->images, .fine = b->labels, .n = n },
                                  .mean = { 0.5f, 0.5f, 0.5f },
                                  .std = { 0.25f, 0.25f, 0.25f } };
    uint32_t noise = 1;

    for (int i = 0; i < n * FX_IMAGE_BYTES; i++)
        b->images[i] = next_noise(&noise);
    if (b->backend->dataset_load != NULL)
        return b->backend->dataset_load(b->device, &dataset, err);
    b->pixels = malloc((size_t)n * FX_IMAGE_BYTES * sizeof *b->pixels);
    if (b->pixels == NULL)
        return fx_fail(err, FX_EFAIL, "out of memory");
    for (int i = 0; i < n * FX_IMAGE_BYTES; i++)
        b->pixels[i] = (float)b->images[i] / 63.75f - 2.0f;
    return FX_OK;
}

/* Noise and labels that stay the same: the step's time does not depend on them. */
static enum fx_status make_batch(struct bench *b, int n, struct fx_err *err)
{
    b->images = malloc((size_t)n * FX_IMAGE_BYTES);
    b->labels = malloc((size_t)n);
    b->numbers = malloc((size_t)n * sizeof *b->numbers);
    b->rows = calloc((size_t)n, sizeof *b->rows);
    if (b->images == NULL || b->labels == NULL || b->numbers == NULL || b->rows == NULL)
        return fx_fail(err, FX_EFAIL, "out of memory");
    for (int i = 0; i < n; i++) {
        b->labels[i] = (uint8_t)(i * 37 % 100);
        b->numbers[i] = (uint32_t)i;
        b->rows[i] = (struct fx_augment_row){ .image = (uint32_t)i, .crop_y = 4, .crop_x = 4 };
    }
    return make_images(b, n, err);
}

/* Processor seconds of all threads since *last, which moves on. */
static double lap(double *last)
{
    double now = seconds_of(CLOCK_PROCESS_CPUTIME_ID), spent = now - *last;

    *last = now;
    return spent;
}

/* Up to and with its update. */
static enum fx_status begin_step(const struct bench *b, const struct args *args, int64_t step,
                                 struct fx_err *err)
{
    struct fx_batch batch = { .n = (int)args->batch,
                              .pixels = b->pixels,
                              .rows = b->rows,
                              .labels = b->labels,
                              .numbers = b->numbers,
                              .seed = 42,
                              .epoch = (uint32_t)step };
    struct fx_loss_config loss = { .alpha = 1.0f, .label_smoothing = 0.1f };
    struct fx_update update = { .step = step,
                                .lr = { 1e-5, 1e-3, 1e-3 },
                                .beta1 = 0.9,
                                .beta2 = 0.999,
                                .eps = 1e-8,
                                .weight_decay = 1e-4,
                                .clip = 1.0,
                                .grad_scale = 1.0 };
    double last = 0, forward, backward;

    (void)lap(&last);
    b->backend->step_begin(b->model);
    FX_TRY(b->backend->input(b->program, &batch, err));
    FX_TRY(b->backend->forward(b->program, err));
    FX_TRY(b->backend->loss(b->program, &loss, err));
    forward = lap(&last);
    FX_TRY(b->backend->backward(b->program, false, err));
    backward = lap(&last);
    FX_TRY(b->backend->update(b->program, &update, NULL, err));
    if (args->profile)
        fprintf(stderr, "processor time: forward %.3f s, backward %.3f s, update %.3f s\n", forward,
                backward, lap(&last));
    return FX_OK;
}

/* The end of a step of those that are numbered first .. last; as in training, the next one is under
 * way where the back end runs ahead. */
static enum fx_status run_step(const struct bench *b, const struct args *args, int64_t i,
                               int64_t first, int64_t last, struct fx_err *err)
{
    bool goes_ahead = b->backend->runs_ahead && !args->profile;
    struct fx_step_result result;

    if (!goes_ahead || i == first)
        FX_TRY(begin_step(b, args, i, err));
    if (goes_ahead && i < last)
        FX_TRY(begin_step(b, args, i + 1, err));
    return b->backend->step_end(b->model, &result, err);
}

/* ---- check ---- */

/* Of all values, in the order of the graph. */
static enum fx_status crc_of_parameters(const struct bench *b, uint32_t *crc, struct fx_err *err)
{
    *crc = 0;
    for (int i = 0; i < b->graph.n_params; i++) {
        const struct fx_param *param = &b->graph.params[i];
        enum fx_status status;

        if (param->kind == FX_PARAM_COUNTER)
            continue;
        size_t n_bytes = (size_t)param->n_elements * sizeof(float);
        void *values = malloc(n_bytes);
        if (values == NULL)
            return fx_fail(err, FX_EFAIL, "out of memory");
        status = b->backend->tensor_read(b->model, i, FX_ROLE_VALUE, values, err);
        if (status == FX_OK)
            *crc = (uint32_t)crc32_z(*crc, values, n_bytes);
        free(values);
        FX_TRY(status);
    }
    return FX_OK;
}

/* Prints members of the JSON object: "losses", "grad_norms" and "crc32". */
static enum fx_status check(const struct bench *b, const struct args *args, struct fx_err *err)
{
    struct fx_step_result results[CHECKED];
    uint32_t crc;

    for (int i = 0; i < CHECKED; i++) {
        FX_TRY(begin_step(b, args, i + 1, err));
        FX_TRY(b->backend->step_end(b->model, &results[i], err));
    }
    FX_TRY(crc_of_parameters(b, &crc, err));
    printf("\"losses\":[");
    for (int i = 0; i < CHECKED; i++)
        printf("%s%.17g", i > 0 ? "," : "",
               results[i].losses.total / (double)results[i].losses.n_images);
    printf("],\"grad_norms\":[");
    for (int i = 0; i < CHECKED; i++)
        printf("%s%.9g", i > 0 ? "," : "", results[i].grad_norm);
    printf("],\"crc32\":\"%08" PRIx32 "\",", crc);
    return FX_OK;
}

/* ---- time ---- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, int64_t n)
{
    qsort(values, (size_t)n, sizeof values[0], compare_doubles);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

/* What the model and its steps took of the device's memory, plans and graphs included. */
static enum fx_status device_bytes(const struct bench *b, size_t *n_bytes, struct fx_err *err)
{
    size_t left = b->free_bytes;

    if (b->backend->memory_left != NULL)
        FX_TRY(b->backend->memory_left(b->device, &left, err));
    *n_bytes = left < b->free_bytes ? b->free_bytes - left : 0;
    return FX_OK;
}

static enum fx_status measure(const struct bench *b, const struct args *args, struct fx_err *err)
{
    int64_t before = args->check ? CHECKED : 0; /* steps that were run */
    int64_t first = before + 1, last = before + args->warmup + args->steps;
    double seconds[STEPS_MAX], cpu_seconds[STEPS_MAX];
    struct rusage usage;
    size_t taken;
    size_t planned = b->memory.parameters + b->memory.gradients + b->memory.optimizer +
                     b->memory.activations + b->memory.workspace;
    struct fx_model_size size;

    for (int64_t i = -args->warmup; i < args->steps; i++) {
        double start = seconds_of(CLOCK_MONOTONIC);
        double cpu_start = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
        FX_TRY(run_step(b, args, first + args->warmup + i, first, last, err));
        if (i >= 0) {
            seconds[i] = seconds_of(CLOCK_MONOTONIC) - start;
            cpu_seconds[i] = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_start;
        }
        if (args->profile && b->backend->profile_print != NULL)
            b->backend->profile_print(b->program, stderr);
    }
    double step = median(seconds, args->steps);
    getrusage(RUSAGE_SELF, &usage);
    FX_TRY(device_bytes(b, &taken, err));
    fx_model_measure(&b->graph, FX_LANE_ALL, &size);
    printf("\"device\":\"%s\",\"images_per_second\":%.6g,\"step_seconds\":%.6g,\"step_cpu_"
           "seconds\":%.6g,"
           "\"peak_rss_bytes\":%ld,\"planned_bytes\":%zu,\"device_bytes\":%zu,"
           "\"parameters\":%" PRId64 ",\"macs\":%" PRId64 "}\n",
           b->choice.device, (double)args->batch / step, step, median(cpu_seconds, args->steps),
           usage.ru_maxrss * 1024L, planned, taken, size.parameters, size.macs);
    return FX_OK;
}

static void close_model(struct bench *b)
{
    if (b->model != NULL)
        b->backend->model_destroy(b->model);
    if (b->device != NULL)
        b->backend->device_close(b->device);
    fx_graph_fini(&b->graph);
    free(b->pixels);
    free(b->images);
    free(b->labels);
    free(b->numbers);
    free(b->rows);
}

static enum fx_status run(const struct args *args, struct fx_err *err)
{
    struct bench b = { 0 };
    enum fx_status status;

    FX_TRY_OUT(open_model(&b, args, err));
    FX_TRY_OUT(write_initial_values(&b, err));
    FX_TRY_OUT(make_batch(&b, (int)args->batch, err));
    printf("{");
    if (args->check)
        FX_TRY_OUT(check(&b, args, err));
    FX_TRY_OUT(measure(&b, args, err));
out:
    close_model(&b);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = { "resnet18", "multiplicative", "auto", "fp32", 8, 4, 2, 2, false, false };
    struct fx_option options[] = {
        { "arch", 0, "NAME", FX_OPT_STRING, &args.arch, 0, 0, NULL, "the experts", NULL },
        { "fusion", 0, "NAME", FX_OPT_STRING, &args.fusion, 0, 0, NULL, "fusion module", NULL },
        { "device", 0, "NAME", FX_OPT_STRING, &args.device, 0, 0, NULL, "cpu, ref, cuda[:N] (auto)",
          NULL },
        { "precision", 0, "NAME", FX_OPT_CHOICE, &args.precision, 0, 0, "fp32|bf16",
          "of activations and convolutions (fp32)", NULL },
        { "batch", 0, "N", FX_OPT_INT, &args.batch, 1, BATCH_MAX, NULL, "images (8)", NULL },
        { "steps", 0, "N", FX_OPT_INT, &args.steps, 1, STEPS_MAX, NULL, "timed steps (4)", NULL },
        { "warmup", 0, "N", FX_OPT_INT, &args.warmup, 0, 100, NULL, "steps before (2)", NULL },
        { "threads", 0, "N", FX_OPT_INT, &args.threads, 1, 1024, NULL, "threads (2)", NULL },
        { "profile", 0, NULL, FX_OPT_FLAG, &args.profile, 0, 0, NULL,
          "on stderr: processor time of the slots and of the back end's steps", NULL },
        { "check", 0, NULL, FX_OPT_FLAG, &args.check, 0, 0, NULL,
          "first: losses, gradient norms and a CRC-32 of the parameters of three steps", NULL },
        { NULL, 0, NULL, FX_OPT_END, NULL, 0, 0, NULL, NULL, NULL },
    };
    const struct fx_tool tool = {
        .name = "step",
        .synopsis = "[options]",
        .summary = "Time training steps of a fusion model.",
        .options = options,
        .example = "step --arch resnet18 --batch 32",
    };
    struct fx_err err = { 0 };

    fx_tool_start(&tool, argc, argv);
    return fx_tool_exit(run(&args, &err), &err);
}
