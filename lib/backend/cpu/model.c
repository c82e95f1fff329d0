/* Devices, models and programs of the cpu back end: what is made, bound and freed. */
#include "backend/cpu/cpu_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- device ---- */

static const struct fx_loops *loops_for(enum fx_dnnl_isa isa, bool bf16)
{
#if defined(__x86_64__)
    if (bf16)
        return &fx_loops_avx512_bf16;
    if (isa >= FX_DNNL_AVX512)
        return &fx_loops_avx512;
    if (isa == FX_DNNL_AVX2)
        return &fx_loops_avx2;
#endif
    (void)isa;
    (void)bf16;
    return &fx_loops_plain;
}

static const struct fx_winograd_loops *winograd_for(enum fx_dnnl_isa isa, bool bf16)
{
#if defined(__x86_64__)
    if (bf16)
        return &fx_winograd_avx512_bf16;
    if (isa >= FX_DNNL_AVX512)
        return &fx_winograd_avx512;
    if (isa == FX_DNNL_AVX2 && __builtin_cpu_supports("fma"))
        return &fx_winograd_avx2;
#endif
    (void)isa;
    (void)bf16;
    return &fx_winograd_plain;
}

static const struct fx_im2col_loops *im2col_for(enum fx_dnnl_isa isa)
{
#if defined(__x86_64__)
    if (isa >= FX_DNNL_AVX512)
        return &fx_im2col_avx512;
    if (isa == FX_DNNL_AVX2 && __builtin_cpu_supports("fma"))
        return &fx_im2col_avx2;
#endif
    (void)isa;
    return &fx_im2col_plain;
}

static const struct fx_shift_loops *shift_for(enum fx_dnnl_isa isa)
{
#if defined(__x86_64__)
    if (isa >= FX_DNNL_AMX && fx_shift_amx_allowed())
        return &fx_shift_amx;
#endif
    (void)isa;
    return NULL;
}

/* Without tiles bf16 saves memory only. */
bool fx_cpu_prefers_bf16(void)
{
    return shift_for(fx_dnnl_isa());
}

enum fx_status fx_cpu_device_open(struct fx_device **out, const struct fx_device_options *options,
                                  struct fx_err *err)
{
    enum fx_dnnl_isa isa = fx_dnnl_isa();
    bool bf16 = options->precision == FX_PRECISION_BF16;
    struct fx_device *device;
    enum fx_status status;

    *out = NULL;
    if (options->n_threads < 1)
        return fx_fail(err, FX_EUSAGE, "device cpu: needs at least one thread");
    if (bf16 && isa < FX_DNNL_AVX512_BF16)
        return fx_fail(err, FX_EDEVICE, "device cpu: this processor has no bf16 (AVX512_BF16)");
    device = calloc(1, sizeof *device);
    if (!device)
        return fx_fail(err, FX_EFAIL, "device cpu: out of memory");
    device->options = *options;
    device->bf16 = bf16;
    device->loops = loops_for(isa, bf16);
    device->winograd = winograd_for(isa, bf16);
    device->im2col = im2col_for(isa);
    device->shift = bf16 ? shift_for(isa) : NULL;
    status = fx_dnnl_open(&device->dnnl, err);
    if (status != FX_OK) {
        free(device);
        return status;
    }
    *out = device;
    return FX_OK;
}

void fx_cpu_device_close(struct fx_device *device)
{
    if (!device)
        return;
    fx_dnnl_close(device->dnnl);
    free(device);
}

/* ---- parameters: the packed weights of convolutions, C order for the rest ---- */

static enum fx_status pack(void *ctx, int param, const float *plain, float *packed,
                           struct fx_err *err)
{
    const struct fx_model *model = ctx;

    (void)err;
    if (model->layouts[param])
        fx_weight_pack(model->layouts[param], plain, packed);
    else
        memcpy(packed, plain, (size_t)model->graph->params[param].n_elements * sizeof *plain);
    return FX_OK;
}

static enum fx_status unpack(void *ctx, int param, const float *packed, float *plain,
                             struct fx_err *err)
{
    const struct fx_model *model = ctx;

    (void)err;
    if (model->layouts[param])
        fx_weight_unpack(model->layouts[param], packed, plain);
    else
        memcpy(plain, packed, (size_t)model->graph->params[param].n_elements * sizeof *plain);
    return FX_OK;
}

static enum fx_status set_layouts(struct fx_model *model, struct fx_err *err)
{
    const struct fx_graph *graph = model->graph;

    model->layouts = calloc((size_t)graph->n_params + 1, sizeof(struct fx_weight_layout *));
    if (!model->layouts)
        return fx_fail(err, FX_EFAIL, "device cpu: out of memory for the model");
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct fx_node *node = &graph->nodes[i];
        struct fx_weight_layout *layout;

        if (node->kind != FX_NODE_CONV2D)
            continue;
        layout = malloc(sizeof *layout);
        if (!layout)
            return fx_fail(err, FX_EFAIL, "device cpu: out of memory for the model");
        *layout = fx_weight_layout_of(node, graph->nodes[node->inputs[0]].shape.c,
                                      model->device->loops->block);
        free(model->layouts[node->params[0]]);
        model->layouts[node->params[0]] = layout;
        fx_store_layout_set_packed(&model->step.store.layout, node->params[0],
                                   fx_weight_floats(layout));
    }
    return FX_OK;
}

/* ---- model ---- */

enum fx_status fx_cpu_model_create(struct fx_model **out, struct fx_device *device,
                                   const struct fx_graph *graph, bool trains, struct fx_err *err)
{
    struct fx_model *model = calloc(1, sizeof *model);
    struct fx_packing packing = { pack, unpack, model };
    int threads = device->options.n_threads;
    enum fx_status status;

    *out = NULL;
    if (!model)
        return fx_fail(err, FX_EFAIL, "device cpu: out of memory for the model");
    model->device = device;
    model->graph = graph;
    model->trains = trains;
    model->n_lanes = fx_lower_count_lanes(graph);
    if (model->n_lanes > FX_GRAPH_MAX_EXPERTS) {
        status = fx_fail(err, FX_EUSAGE, "device cpu: more than %d lanes", FX_GRAPH_MAX_EXPERTS);
        goto out;
    }
    /* Gradients of a shared INPUT are added by one lane after the other. */
    model->share = graph->input_gradients ? (struct fx_worker_share){ 1, threads }
                                          : fx_worker_share_of(model->n_lanes, threads);
    FX_TRY_OUT(fx_store_init(&model->step.store, graph, trains, &packing, err));
    FX_TRY_OUT(set_layouts(model, err));
    FX_TRY_OUT(fx_workers_create(&model->workers, threads, model->share.n_threads, err));
    for (int w = 0; w < model->share.n_workers; w++)
        FX_TRY_OUT(fx_dnnl_stream_open(&model->streams[w], device->dnnl, err));
    *out = model;
    return FX_OK;
out:
    fx_cpu_model_destroy(model);
    return status;
}

void fx_cpu_model_destroy(struct fx_model *model)
{
    if (!model)
        return;
    while (model->programs) {
        struct fx_program *program = model->programs;

        model->programs = program->next;
        fx_cpu_program_destroy(program);
    }
    fx_workers_destroy(model->workers);
    for (int w = 0; w < FX_GRAPH_MAX_EXPERTS; w++) {
        fx_dnnl_stream_close(model->streams[w]);
        fx_arena_destroy(&model->workspaces[w]);
    }
    for (int i = 0; model->layouts && i < model->graph->n_params; i++)
        free(model->layouts[i]);
    free(model->layouts);
    fx_arena_destroy(&model->activations);
    fx_store_fini(&model->step.store);
    free(model);
}

void fx_cpu_model_memory(const struct fx_model *model, struct fx_memory *memory)
{
    *memory = (struct fx_memory){ 0 };
    fx_store_layout_memory(&model->step.store.layout, memory);
    memory->activations = model->activation_bytes;
    memory->workspace = (size_t)model->share.n_workers * model->workspace_bytes;
}

enum fx_status fx_cpu_model_allocate(struct fx_model *model, struct fx_err *err)
{
    char *base[FX_MAX_LANES_OF_GRAPH];

    if (model->step.store.is_allocated)
        return fx_fail(err, FX_EUSAGE, "device cpu: the model has its memory already");
    FX_TRY(fx_store_allocate(&model->step.store, err));
    FX_TRY(fx_arena_create(&model->activations, model->activation_bytes, "activations", err));
    fx_arena_spoil(&model->activations);
    for (int w = 0; w < model->share.n_workers; w++) {
        FX_TRY(fx_arena_create(&model->workspaces[w], model->workspace_bytes, "workspace", err));
        fx_arena_spoil(&model->workspaces[w]);
    }
    for (int lane = 0; lane < FX_MAX_LANES_OF_GRAPH; lane++)
        base[lane] = model->activations.base;
    for (struct fx_program *p = model->programs; p; p = p->next)
        fx_lowered_bind(&p->lowered, base);
    return FX_OK;
}

/* ---- program ---- */

/* What a program is to be lowered for. */
struct lowering {
    struct fx_program *program;
    enum fx_mode mode;
    int n;
};

static enum fx_status lower_program(const struct lowering *l, struct fx_err *err)
{
    const struct fx_model *model = l->program->model;
    struct fx_lower_rules rules = {
        .block = model->device->loops->block,
        .value_bytes = model->device->loops->value_bytes,
        .mask_bytes = sizeof(uint16_t),
        .draws_apart = true,
        .gathers_norms = true,
        .conv = fx_cpu_conv_compile,
        .conv_norms = fx_cpu_conv_norms,
        .dense = fx_cpu_dense_workspace,
        .ctx = l->program,
    };
    int worker[FX_MAX_LANES_OF_GRAPH];

    FX_TRY(fx_lower(&l->program->lowered, &rules, model->graph, l->mode, l->n, err));
    for (int lane = 0; lane < model->n_lanes; lane++)
        worker[lane] = lane % model->share.n_workers;
    worker[model->n_lanes] = 0; /* the head's */
    return fx_lowered_place(&l->program->lowered, worker, model->share.n_workers, err);
}

/* On a worker: oneDNN compiles for the OpenMP threads that the calling thread would use. */
static enum fx_status lower_job(void *ctx, int worker, struct fx_err *err)
{
    (void)worker;
    return lower_program(ctx, err);
}

enum fx_status fx_cpu_program_create(struct fx_program **out, struct fx_model *model,
                                     enum fx_mode mode, int n, struct fx_err *err)
{
    struct fx_program *program;
    struct lowering lowering;
    enum fx_status status;

    *out = NULL;
    if (model->step.store.is_allocated)
        return fx_fail(err, FX_EUSAGE, "device cpu: programs are made before the memory");
    if (n < 1 || (mode == FX_TRAIN && !model->trains))
        return fx_fail(err, FX_EUSAGE, "device cpu: no such program (batch %d)", n);
    program = calloc(1, sizeof *program);
    if (!program)
        return fx_fail(err, FX_EFAIL, "device cpu: out of memory for a program");
    program->model = model;
    lowering = (struct lowering){ program, mode, n };
    program->convs = calloc((size_t)model->graph->n_nodes + 1, sizeof *program->convs);
    if (!program->convs) {
        status = fx_fail(err, FX_EFAIL, "device cpu: out of memory for a program");
        goto out;
    }
    FX_TRY_OUT(fx_workers_run(model->workers, 1, lower_job, &lowering, err));
    program->next = model->programs;
    model->programs = program;
    if (program->lowered.plan.n_bytes > model->activation_bytes)
        model->activation_bytes = program->lowered.plan.n_bytes;
    if (program->workspace_bytes > model->workspace_bytes)
        model->workspace_bytes = program->workspace_bytes;
    *out = program;
    return FX_OK;
out:
    fx_cpu_program_destroy(program);
    return status;
}

void fx_cpu_program_destroy(struct fx_program *program)
{
    for (int i = 0; program->convs && i < program->model->graph->n_nodes; i++)
        for (int d = 0; d < FX_N_CONV_DIRECTIONS; d++)
            fx_conv_code_fini(&program->convs[i].directions[d]);
    free(program->convs);
    fx_lowered_fini(&program->lowered);
    free(program);
}
