/* The convolutions of a network one at a time, on one thread: our own where training uses them,
 * oneDNN's direct algorithm and its Winograd where it has one, beside the rate of a matrix product.
 *
 * Each layer and direction is run many times, the ways in turn, and the least processor time of
 * each counts: on a machine that others use too, it is what moves least.  Rates are those of the
 * direct algorithm's operations; Winograd has a quarter of its multiplications. */
#include "backend/cpu/cpu_internal.h"
#include "base/tool.h"
#include "net/model.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { GEMM_SIDE = 768, PAGE = 4096 };

struct args {
    const char *arch;
    int64_t batch, ms;
    enum fx_precision precision;
};

/* The ways to compute one direction of a layer. */
enum way { OURS, DIRECT, WINOGRAD, N_WAYS };

static const char *const direction_names[] = { "forward", "data", "weights" };

struct layer {
    struct fx_conv_shape shape;
    int count; /* of such layers in the network */
};

struct bench {
    const struct args *args;
    struct fx_device *device;      /* owned */
    struct fx_dnnl_stream *stream; /* owned */
    double gemm;                   /* f32; the best rate seen, GFLOP/s */
    double used, direct, old;      /* seconds of all layers: as in training, and by oneDNN alone,
                                      without and with its Winograd */
};

/* One direction of one layer, compiled. */
struct job {
    const struct layer *layer;
    enum fx_conv_direction direction;
    struct fx_conv_code used;           /* in training */
    struct fx_dnnl_conv *convs[N_WAYS]; /* owned; NULL: the way is not there */
    void *x, *y;                        /* owned */
    float *weights, *workspace;         /* owned */
    double best[N_WAYS];                /* seconds */
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *floats(size_t n)
{
    float *p = aligned_alloc(PAGE, (n * sizeof *p + PAGE) / PAGE * PAGE);

    for (size_t i = 0; p && i < n; i++)
        p[i] = (float)(i * 2654435761u % 1024) / 1024 - 0.5f;
    return p;
}

/* n values of a map; in bf16 0.5 to 1 of either sign. */
static void *values(const struct bench *b, size_t n)
{
    uint16_t *p;

    if (!b->device->bf16)
        return floats(n);
    p = aligned_alloc(PAGE, (n * sizeof *p + PAGE) / PAGE * PAGE);
    for (size_t i = 0; p && i < n; i++)
        p[i] = (uint16_t)(0x3f00 | i * 2654435761u % 128 | i % 2 << 15);
    return p;
}

static void measure_gemm(struct bench *b)
{
    const size_t n = (size_t)GEMM_SIDE * GEMM_SIDE;
    struct fx_dnnl_gemm g = { .m = GEMM_SIDE,
                              .n = GEMM_SIDE,
                              .k = GEMM_SIDE,
                              .lda = GEMM_SIDE,
                              .ldb = GEMM_SIDE,
                              .ldc = GEMM_SIDE };
    float *a = floats(n), *right = floats(n), *c = floats(n);

    g.a = a;
    g.b = right;
    g.c = c;
    for (int i = 0; a && right && c && i < 5; i++) {
        double start = now(), rate;
        enum fx_status status = fx_dnnl_gemm(&g, NULL);

        rate = 2e-9 * (double)n * GEMM_SIDE / (now() - start);
        if (status == FX_OK && rate > b->gemm)
            b->gemm = rate;
    }
    free(a);
    free(right);
    free(c);
}

/* ---- one direction ---- */

static bool is_ours(const struct job *job)
{
    return job->used.way != FX_CONV_DNNL;
}

/* Groups run one after the other on maps of their own: oneDNN has no Winograd of groups. */
static enum fx_status compile_winograd(const struct bench *b, struct job *job, struct fx_err *err)
{
    struct fx_conv_shape one = job->layer->shape;

    one.c_in /= one.groups;
    one.c_out /= one.groups;
    one.groups = 1;
    FX_TRY(fx_dnnl_conv_create(&job->convs[WINOGRAD], b->device->dnnl, &one, job->direction, true,
                               err));
    if (!strstr(fx_dnnl_conv_name(job->convs[WINOGRAD]), "wino")) {
        fx_dnnl_conv_destroy(job->convs[WINOGRAD]);
        job->convs[WINOGRAD] = NULL;
    }
    return FX_OK;
}

static size_t weights_of(const struct fx_conv_shape *s)
{
    return (size_t)(s->c_out * s->c_in / s->groups * s->kernel * s->kernel);
}

static size_t values_of_x(const struct fx_conv_shape *s)
{
    return (size_t)s->n * (size_t)(s->c_in * s->h_in * s->w_in);
}

static size_t values_of_y(const struct fx_conv_shape *s)
{
    return (size_t)s->n * (size_t)(s->c_out * s->h_out * s->w_out);
}

static enum fx_status compile(const struct bench *b, struct job *job, struct fx_err *err)
{
    const struct fx_conv_shape *s = &job->layer->shape;
    size_t workspace;

    FX_TRY(fx_conv_code_compile(&job->used, b->device, s, job->direction, err));
    FX_TRY(
        fx_dnnl_conv_create(&job->convs[DIRECT], b->device->dnnl, s, job->direction, false, err));
    if (fx_winograd_suits(s))
        FX_TRY(compile_winograd(b, job, err));
    workspace = job->used.workspace;
    for (int way = DIRECT; way < N_WAYS; way++)
        if (job->convs[way] && fx_dnnl_conv_workspace(job->convs[way]) > workspace)
            workspace = fx_dnnl_conv_workspace(job->convs[way]);
    job->x = values(b, values_of_x(s));
    job->y = values(b, values_of_y(s));
    job->weights = floats(weights_of(s));
    job->workspace = floats(workspace / sizeof(float) + 1);
    if (!job->x || !job->y || !job->weights || !job->workspace)
        return fx_fail(err, FX_EFAIL, "out of memory");
    return FX_OK;
}

static void close_job(struct job *job)
{
    fx_conv_code_fini(&job->used);
    for (int way = 0; way < N_WAYS; way++)
        fx_dnnl_conv_destroy(job->convs[way]);
    free(job->x);
    free(job->y);
    free(job->weights);
    free(job->workspace);
}

static enum fx_status run_way(const struct bench *b, struct job *job, enum way way,
                              struct fx_err *err)
{
    const struct fx_conv_shape *s = &job->layer->shape;
    size_t n = way == WINOGRAD ? (size_t)s->groups : 1;
    size_t x = values_of_x(s) / n * b->device->loops->value_bytes;
    size_t y = values_of_y(s) / n * b->device->loops->value_bytes;
    size_t weights = weights_of(s) / n;
    double start = now(), spent;

    if (way == OURS)
        FX_TRY(fx_conv_code_run(&job->used, b->stream, &(struct fx_conv_norm){ 0 }, job->x,
                                job->weights, job->y, job->workspace, err));
    else
        for (size_t g = 0; g < n; g++)
            FX_TRY(fx_dnnl_conv_run(job->convs[way], b->stream, (char *)job->x + g * x,
                                    job->weights + g * weights, (char *)job->y + g * y,
                                    job->workspace, err));
    spent = now() - start;
    if (job->best[way] == 0 || spent < job->best[way])
        job->best[way] = spent;
    return FX_OK;
}

static void print_rate(double rate)
{
    if (rate > 0)
        printf(" | %.0f", rate);
    else
        printf(" | -");
}

/* What the rate of f32 matrix products allows, GFLOP/s: with Winograd, whole tiles at a quarter of
 * the cost.  0: products are not f32. */
static double limit_of(const struct bench *b, const struct job *job)
{
    const struct fx_conv_shape *s = &job->layer->shape;
    int tiles = fx_divide_up(s->h_out, FX_WINOGRAD_TILE) * fx_divide_up(s->w_out, FX_WINOGRAD_TILE);

    if (job->used.way == FX_CONV_WINOGRAD)
        return b->gemm * 9 * s->h_out * s->w_out / (FX_WINOGRAD_POINTS * tiles);
    return b->device->bf16 ? 0 : b->gemm;
}

static void print_job(struct bench *b, const struct job *job)
{
    const struct fx_conv_shape *s = &job->layer->shape;
    double gflop =
        2e-9 * s->n * s->h_out * s->w_out * s->c_out * s->c_in / s->groups * s->kernel * s->kernel;

    printf("| %dx%d/%d", s->kernel, s->kernel, s->stride);
    if (s->groups > 1)
        printf(" g%d", s->groups);
    printf(" %d -> %d, %dx%d | %d | %s", s->c_in, s->c_out, s->h_out, s->w_out, job->layer->count,
           direction_names[job->direction]);
    for (int way = 0; way < N_WAYS; way++)
        print_rate(job->best[way] > 0 ? gflop / job->best[way] : 0);
    print_rate(limit_of(b, job));
    printf(" |\n");
    fflush(stdout);
    b->direct += job->layer->count * job->best[DIRECT];
    b->old += job->layer->count * job->best[job->convs[WINOGRAD] ? WINOGRAD : DIRECT];
    b->used += job->layer->count * job->best[is_ours(job) ? OURS : DIRECT];
}

static enum fx_status measure(struct bench *b, const struct layer *layer,
                              enum fx_conv_direction direction, struct fx_err *err)
{
    struct job job = { .layer = layer, .direction = direction };
    enum fx_status status;
    double end;

    measure_gemm(b);
    FX_TRY_OUT(compile(b, &job, err));
    end = now() + 1e-3 * (double)b->args->ms;
    do {
        for (int way = 0; way < N_WAYS; way++)
            if (way == OURS ? is_ours(&job) : job.convs[way] != NULL)
                FX_TRY_OUT(run_way(b, &job, way, err));
    } while (now() < end);
    print_job(b, &job);
out:
    close_job(&job);
    return status;
}

/* ---- the network's layers ---- */

static struct layer layer_of(const struct bench *b, const struct fx_graph *graph,
                             const struct fx_node *node)
{
    struct fx_value_shape in = graph->nodes[node->inputs[0]].shape;
    struct fx_weight_layout l = fx_weight_layout_of(node, in.c, b->device->loops->block);

    return (struct layer){ .count = 1,
                           .shape = { .n = (int)b->args->batch,
                                      .block = b->device->loops->block,
                                      .groups = l.merged,
                                      .c_in = l.merged * l.in,
                                      .c_out = l.merged * l.out,
                                      .h_in = in.h,
                                      .w_in = in.w,
                                      .h_out = node->shape.h,
                                      .w_out = node->shape.w,
                                      .kernel = node->kernel,
                                      .stride = node->stride,
                                      .pad = node->pad,
                                      .x_image = (size_t)(l.merged * l.in * in.h * in.w),
                                      .bf16 = b->device->bf16 } };
}

static enum fx_status measure_layers(struct bench *b, const struct fx_graph *graph,
                                     struct fx_err *err)
{
    struct layer layers[64];
    int n = 0;

    for (int i = 0; i < graph->n_nodes; i++) {
        const struct fx_node *node = &graph->nodes[i];
        int k = 0;

        if (node->lane != 0 || node->kind != FX_NODE_CONV2D)
            continue;
        struct layer layer = layer_of(b, graph, node);
        while (k < n && memcmp(&layers[k].shape, &layer.shape, sizeof layer.shape) != 0)
            k++;
        if (k < n)
            layers[k].count++;
        else if (n < (int)(sizeof layers / sizeof layers[0]))
            layers[n++] = layer;
    }
    printf("| layer | times | direction | ours | oneDNN direct | oneDNN Winograd | limit |\n"
           "|---|---|---|---|---|---|---|\n");
    for (int k = 0; k < n; k++)
        for (int d = 0; d < FX_N_CONV_DIRECTIONS; d++)
            FX_TRY(measure(b, &layers[k], (enum fx_conv_direction)d, err));
    printf("\n%s, %s, batch %d: GFLOP/s of the direct algorithm; matrix product in fp32 %.0f. All "
           "layers, ms: as used %.1f, oneDNN direct %.1f, oneDNN Winograd %.1f\n",
           b->args->arch, b->device->bf16 ? "bf16" : "fp32", (int)b->args->batch, b->gemm,
           1e3 * b->used, 1e3 * b->direct, 1e3 * b->old);
    return FX_OK;
}

static enum fx_status run(const struct args *args, struct fx_err *err)
{
    struct fx_model_config config = { .arch = args->arch,
                                      .fusion = "multiplicative",
                                      .n_experts = 1,
                                      .n_classes = 100,
                                      .expert_dropout = -1,
                                      .fusion_dropout = -1 };
    const struct fx_device_options device = { .n_threads = 1, .precision = args->precision };
    struct fx_graph graph = { 0 };
    struct bench b = { .args = args };
    enum fx_status status;

    omp_set_num_threads(1);
    FX_TRY_OUT(fx_model_build(&graph, &config, err));
    FX_TRY_OUT(fx_cpu_device_open(&b.device, &device, err));
    FX_TRY_OUT(fx_dnnl_stream_open(&b.stream, b.device->dnnl, err));
    FX_TRY_OUT(measure_layers(&b, &graph, err));
out:
    fx_dnnl_stream_close(b.stream);
    if (b.device)
        fx_cpu_device_close(b.device);
    fx_graph_fini(&graph);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = { "resnet18", 32, 500, FX_PRECISION_FP32 };
    struct fx_option options[] = {
        { "arch", 0, "NAME", FX_OPT_STRING, &args.arch, 0, 0, NULL, "the network (resnet18)",
          NULL },
        { "batch", 0, "N", FX_OPT_INT, &args.batch, 1, 4096, NULL, "images (32)", NULL },
        { "precision", 0, "NAME", FX_OPT_ENUM, &args.precision, 0, 0, "fp32|bf16",
          "of maps: fp32, or bf16, by the tiles of the processor where it has them (fp32)", NULL },
        { "ms", 0, "N", FX_OPT_INT, &args.ms, 1, 100000, NULL,
          "time for each direction of a layer (500)", NULL },
        { NULL, 0, NULL, FX_OPT_END, NULL, 0, 0, NULL, NULL, NULL },
    };
    const struct fx_tool tool = {
        .name = "layers",
        .synopsis = "[options]",
        .summary = "Time the convolutions of a network on the processor.",
        .options = options,
        .example = "layers --arch resnet18 --precision bf16",
    };
    struct fx_err err = { 0 };

    fx_tool_start(&tool, argc, argv);
    return fx_tool_exit(run(&args, &err), &err);
}
