/* Models and programs on the device: what is made, planned, allocated and freed. */
#include "backend/cuda/cuda_internal.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/* What a program needs beside its arena, for the decision whether norms are kept. */
enum { WORKSPACE_GUESS_MIB = 1536 };

/* ---- the model ---- */

enum fx_status fx_cuda_model_create(struct fx_model **out, struct fx_device *device,
                                    const struct fx_graph *graph, bool trains, struct fx_err *err)
{
    struct fx_model *model;
    enum fx_status status;

    *out = NULL;
    if (fx_lower_count_lanes(graph) > FX_GRAPH_MAX_EXPERTS)
        return fx_fail(err, FX_EUSAGE, "device cuda: more than %d lanes", FX_GRAPH_MAX_EXPERTS);
    model = calloc(1, sizeof *model);
    if (!model)
        return fx_fail(err, FX_EFAIL, "device cuda: out of memory for the model");
    model->device = device;
    model->graph = graph;
    model->trains = trains;
    FX_TRY_OUT(fx_device_store_init(&model->store, graph, trains, device->bf16, err));
    *out = model;
    return FX_OK;
out:
    fx_cuda_model_destroy(model);
    return status;
}

/* Unlike cudaFree, cudaFreeHost is not said to accept NULL. */
static void free_pinned(void *memory)
{
    if (memory)
        cudaFreeHost(memory);
}

static void destroy_event(cudaEvent_t event)
{
    if (event)
        cudaEventDestroy(event);
}

static void staging_fini(struct fx_staging *staging)
{
    for (int i = 0; i < 2; i++) {
        free_pinned(staging->batch[i]);
        free_pinned(staging->pixels[i]);
        destroy_event(staging->copied[i]);
        free_pinned(staging->steps[i].update);
        free_pinned(staging->steps[i].result);
        free_pinned(staging->steps[i].losses);
        destroy_event(staging->steps[i].done);
    }
    free_pinned(staging->sums);
    *staging = (struct fx_staging){ 0 };
}

static void free_device(void *address)
{
    void **memory = address;

    cudaFree(*memory);
    *memory = NULL;
}

/* What fx_cuda_model_allocate has allocated, if only a part; not the store's. */
static void free_memory(struct fx_model *model)
{
    staging_fini(&model->staging);
    free_device(&model->activations);
    for (int queue = 0; queue < FX_CUDA_QUEUES; queue++)
        free_device(&model->workspace[queue]);
    free_device(&model->tickets);
    free_device(&model->batch);
    free_device(&model->pixels);
    free_device(&model->augmented);
    free_device(&model->losses);
    free_device(&model->not_finite);
    free_device(&model->update);
    free_device(&model->result);
    for (struct fx_program *p = model->programs; p; p = p->next)
        free_device(&p->running);
}

void fx_cuda_model_destroy(struct fx_model *model)
{
    if (!model)
        return;
    /* Nothing is freed that a kernel still uses; after a failure side streams may not be joined. */
    cudaDeviceSynchronize();
    free_memory(model);
    while (model->programs) {
        struct fx_program *program = model->programs;

        model->programs = program->next;
        fx_cuda_program_destroy(program);
    }
    fx_device_store_fini(&model->store);
    free(model);
}

/* ---- memory ---- */

static size_t pixel_values(const struct fx_model *model)
{
    return (size_t)model->n_max *
           (size_t)fx_shape_elements(model->graph->nodes[model->graph->input].shape);
}

/* Finished pixels, augmented images, and the block of the batch. */
static size_t batch_bytes(const struct fx_model *model)
{
    return pixel_values(model) * (sizeof(float) + 1) + fx_batch_block_bytes(model->n_max);
}

void fx_cuda_model_memory(const struct fx_model *model, struct fx_memory *memory)
{
    *memory = (struct fx_memory){ .activations = model->activation_bytes,
                                  .workspace = batch_bytes(model) };
    for (int queue = 0; queue < FX_CUDA_QUEUES; queue++)
        memory->workspace += model->workspace_bytes[queue];
    fx_device_store_memory(&model->store, memory);
}

static enum fx_status allocate_step_staging(struct fx_step_staging *staging, struct fx_err *err)
{
    FX_CUDA(cudaMallocHost((void **)&staging->update, sizeof *staging->update));
    FX_CUDA(cudaMallocHost((void **)&staging->result, sizeof *staging->result));
    FX_CUDA(cudaMallocHost((void **)&staging->losses, sizeof *staging->losses));
    FX_CUDA(cudaEventCreateWithFlags(&staging->done, cudaEventDisableTiming));
    return FX_OK;
}

static enum fx_status allocate_staging(struct fx_staging *staging, const struct fx_model *model,
                                       struct fx_err *err)
{
    for (int i = 0; i < 2; i++) {
        FX_CUDA(cudaMallocHost(&staging->batch[i], fx_batch_block_bytes(model->n_max)));
        FX_CUDA(cudaMallocHost((void **)&staging->pixels[i], pixel_values(model) * sizeof(float)));
        FX_CUDA(cudaEventCreateWithFlags(&staging->copied[i], cudaEventDisableTiming));
        FX_TRY(allocate_step_staging(&staging->steps[i], err));
    }
    FX_CUDA(cudaMallocHost((void **)&staging->sums, sizeof *staging->sums));
    memset(staging->sums, 0, sizeof *staging->sums);
    return FX_OK;
}

/* At least one byte, so that every pointer is an address. */
static enum fx_status allocate(void **to, size_t n_bytes, struct fx_err *err)
{
    FX_CUDA(cudaMalloc(to, n_bytes > 0 ? n_bytes : 1));
    return FX_OK;
}

static enum fx_status allocate_step(struct fx_model *model, struct fx_err *err)
{
    FX_TRY(allocate(&model->batch, fx_batch_block_bytes(model->n_max), err));
    FX_TRY(allocate((void **)&model->pixels, pixel_values(model) * sizeof(float), err));
    FX_TRY(allocate((void **)&model->augmented, pixel_values(model), err));
    FX_TRY(allocate((void **)&model->losses, sizeof *model->losses, err));
    FX_TRY(allocate((void **)&model->not_finite, sizeof *model->not_finite, err));
    FX_TRY(allocate((void **)&model->update, sizeof *model->update, err));
    return allocate((void **)&model->result, sizeof *model->result, err);
}

/* The table of running statistics of a training program. */
static enum fx_status load_running(struct fx_program *program, struct fx_err *err)
{
    enum { RUNNING_MEAN = 2, RUNNING_VAR = 3 }; /* numbers in a BATCHNORM node's params */
    const struct fx_lowered *lowered = &program->lowered;
    const struct fx_store_layout *layout = &program->model->store.layout;
    struct fx_k_running *table = calloc((size_t)lowered->graph->n_nodes + 1, sizeof *table);
    cudaStream_t stream = program->model->device->main;
    cudaError_t error;
    int n = 0;

    if (!table)
        return fx_fail(err, FX_EFAIL, "device cuda: out of memory for a program");
    for (int i = 0; i < lowered->graph->n_nodes; i++) {
        const struct fx_node *node = &lowered->graph->nodes[i];

        if (node->kind != FX_NODE_BATCHNORM || lowered->nodes[i].norm_stats < 0)
            continue;
        const struct fx_stats *stats = &lowered->nodes[lowered->nodes[i].norm_stats].stats;
        table[n++] =
            (struct fx_k_running){ .mean = stats->mean,
                                   .unbiased = stats->unbiased,
                                   .at_mean = layout->extents[node->params[RUNNING_MEAN]].offset,
                                   .at_var = layout->extents[node->params[RUNNING_VAR]].offset,
                                   .c = node->shape.c,
                                   .momentum = node->momentum };
    }
    program->n_running = n;
    error = cudaMalloc((void **)&program->running, (size_t)(n + 1) * sizeof *table);
    if (error == cudaSuccess)
        error = cudaMemcpyAsync(program->running, table, (size_t)n * sizeof *table,
                                cudaMemcpyHostToDevice, stream);
    if (error == cudaSuccess)
        error = cudaStreamSynchronize(stream);
    free(table);
    FX_CUDA(error);
    return FX_OK;
}

/* The arena is filled with zeros first: the padding of dense rows and what no instruction writes.
 */
static enum fx_status bind(struct fx_program *program, struct fx_err *err)
{
    char *base[FX_MAX_LANES_OF_GRAPH];

    for (int lane = 0; lane <= program->lowered.n_lanes; lane++)
        base[lane] = program->model->activations + program->base[lane];
    fx_lowered_bind(&program->lowered, base);
    return program->lowered.mode == FX_TRAIN ? load_running(program, err) : FX_OK;
}

static enum fx_status allocate_all(struct fx_model *model, struct fx_err *err)
{
    cudaStream_t stream = model->device->main;

    FX_TRY(fx_device_store_allocate(&model->store, stream, err));
    FX_TRY(allocate((void **)&model->activations, model->activation_bytes, err));
    for (int queue = 0; queue < FX_CUDA_QUEUES; queue++)
        FX_TRY(allocate((void **)&model->workspace[queue], model->workspace_bytes[queue], err));
    FX_TRY(allocate((void **)&model->tickets, model->ticket_bytes, err));
    FX_CUDA(cudaMemsetAsync(model->tickets, 0, model->ticket_bytes, stream));
    FX_TRY(allocate_step(model, err));
    FX_CUDA(cudaMemsetAsync(model->result, 0, sizeof *model->result, stream));
    FX_TRY(allocate_staging(&model->staging, model, err));
    for (struct fx_program *p = model->programs; p; p = p->next)
        FX_TRY(bind(p, err));
    FX_CUDA(cudaStreamSynchronize(stream));
    return FX_OK;
}

/* ran_out: whether it failed for want of memory. */
static enum fx_status allocate_planned(struct fx_model *model, bool *ran_out, struct fx_err *err)
{
    cudaGetLastError();
    enum fx_status status = allocate_all(model, err);
    *ran_out = status != FX_OK && cudaGetLastError() == cudaErrorMemoryAllocation;
    return status;
}

/* ---- programs ---- */

/* Convolutions are compiled when the lanes that run together are known (compile.c).  Maps
 * around grouped ones are group-major wherever their neighbours allow it (conv.c). */
static int group_major_of(void *ctx, const struct fx_node *conv, int c_in, int n)
{
    (void)ctx;
    (void)n;
    return fx_weight_layout_of(conv, c_in, FX_K_BLOCK).merged;
}

static enum fx_status lower(struct fx_program *program, enum fx_mode mode, int n, bool keeps_norms,
                            struct fx_err *err)
{
    struct fx_model *model = program->model;
    struct fx_lower_rules rules = { .block = FX_K_BLOCK,
                                    .value_bytes = fx_cuda_value_bytes(model->device),
                                    .mask_bytes = sizeof(uint8_t),
                                    .norms_add = true,
                                    .stats_copy = true,
                                    .norms_relu = true,
                                    .gathers_norms = true,
                                    .keeps_norms = keeps_norms,
                                    .conv_adds = true,
                                    .wgrad_stream = keeps_norms && model->device->has_wgrad_stream,
                                    .group_major_of = group_major_of };

    FX_TRY(fx_lower(&program->lowered, &rules, model->graph, mode, n, err));
    return fx_lowered_place_lanes(&program->lowered, program->base, program->size, err);
}

/* Whether parameters and this program fit into what the device has left. */
static enum fx_status fits(const struct fx_program *program, bool *fit, struct fx_err *err)
{
    size_t left, needed = program->lowered.plan.n_bytes + ((size_t)WORKSPACE_GUESS_MIB << 20);
    struct fx_memory memory = { 0 };

    fx_device_store_memory(&program->model->store, &memory);
    needed += memory.parameters + memory.gradients + memory.optimizer;
    FX_TRY(fx_cuda_memory_left(program->model->device, &left, err));
    *fit = needed <= left;
    return FX_OK;
}

/* The results of norms are kept for the backward pass if there is room, else computed again there:
 * the same bytes, and a seventh more traffic for DenseNet-121. */
static enum fx_status lower_to_fit(struct fx_program *program, enum fx_mode mode, int n,
                                   struct fx_err *err)
{
    FX_TRY(lower(program, mode, n, true, err));
    if (mode == FX_EVAL)
        return FX_OK;
    FX_TRY(fits(program, &program->keeps_norms, err));
    if (program->keeps_norms)
        return FX_OK;
    fx_lowered_fini(&program->lowered);
    return lower(program, mode, n, false, err);
}

/* Compiles what is lowered, and has the model's memory hold it. */
static enum fx_status compile(struct fx_program *program, struct fx_err *err)
{
    struct fx_model *model = program->model;
    int n = program->lowered.n;

    FX_TRY(fx_cuda_compile(program, err));
    model->n_max = n > model->n_max ? n : model->n_max;
    if (program->lowered.plan.n_bytes > model->activation_bytes)
        model->activation_bytes = program->lowered.plan.n_bytes;
    if (model->workspace_bytes[FX_CUDA_MAIN] < fx_k_loss_scratch(n))
        model->workspace_bytes[FX_CUDA_MAIN] = fx_k_loss_scratch(n);
    return FX_OK;
}

enum fx_status fx_cuda_program_create(struct fx_program **out, struct fx_model *model,
                                      enum fx_mode mode, int n, struct fx_err *err)
{
    struct fx_program *program;
    enum fx_status status;

    *out = NULL;
    if (model->is_allocated)
        return fx_fail(err, FX_EUSAGE, "device cuda: programs are made before the memory");
    if (n < 1 || (mode == FX_TRAIN && !model->trains))
        return fx_fail(err, FX_EUSAGE, "device cuda: no such program (batch %d)", n);
    program = calloc(1, sizeof *program);
    if (!program)
        return fx_fail(err, FX_EFAIL, "device cuda: out of memory for a program");
    program->model = model;
    FX_TRY_OUT(lower_to_fit(program, mode, n, err));
    FX_TRY_OUT(compile(program, err));
    program->next = model->programs;
    model->programs = program;
    *out = program;
    return FX_OK;
out:
    fx_cuda_program_destroy(program);
    return status;
}

/* ---- memory that is shorter than it was ---- */

/* Frees what was allocated and plans anew, without norms that are kept: their memory was there when
 * the programs were compiled, and another process has taken it since. */
static enum fx_status plan_again(struct fx_model *model, struct fx_err *err)
{
    free_memory(model);
    fx_device_store_fini(&model->store);
    FX_TRY(
        fx_device_store_init(&model->store, model->graph, model->trains, model->device->bf16, err));
    model->activation_bytes = 0;
    memset(model->workspace_bytes, 0, sizeof model->workspace_bytes);
    for (struct fx_program *p = model->programs; p; p = p->next) {
        enum fx_mode mode = p->lowered.mode;
        int n = p->lowered.n;

        fx_cuda_compiled_fini(p);
        fx_lowered_fini(&p->lowered);
        FX_TRY(lower(p, mode, n, mode == FX_EVAL, err));
        p->keeps_norms = false;
        FX_TRY(compile(p, err));
    }
    return FX_OK;
}

static bool keeps_norms(const struct fx_model *model)
{
    for (const struct fx_program *p = model->programs; p; p = p->next)
        if (p->keeps_norms)
            return true;
    return false;
}

static double gib(size_t n_bytes)
{
    return (double)n_bytes / (1 << 30);
}

static size_t planned_bytes(const struct fx_model *model)
{
    struct fx_memory m;

    fx_cuda_model_memory(model, &m);
    return m.parameters + m.gradients + m.optimizer + m.activations + m.workspace;
}

static void say_planned_again(const struct fx_model *model, size_t before)
{
    fx_log_warn("device cuda: memory that was free is taken: planned again, %.2f GiB instead of "
                "%.2f, without keeping the results of norms: the same results, more slowly",
                gib(planned_bytes(model)), gib(before));
}

/* What to do about it; frees what was allocated. */
static enum fx_status say_too_little(struct fx_model *model, struct fx_err *err)
{
    size_t left = 0, planned = planned_bytes(model);

    free_memory(model);
    fx_device_store_fini(&model->store);
    FX_TRY(fx_cuda_memory_left(model->device, &left, err));
    return fx_fail(err, FX_EFAIL,
                   "device cuda: out of memory: the model takes %.2f GiB of the device, and %.2f "
                   "GiB are free: reduce --batch%s, or end what else runs there",
                   gib(planned), gib(left), model->device->bf16 ? "" : ", use --precision bf16");
}

enum fx_status fx_cuda_model_allocate(struct fx_model *model, struct fx_err *err)
{
    enum fx_status status;
    bool ran_out;

    if (model->is_allocated)
        return fx_fail(err, FX_EUSAGE, "device cuda: the model has its memory already");
    model->is_allocated = true;
    fx_cudnn_save(model->device->cudnn); /* a run that is killed resumes with the same plans */
    status = allocate_planned(model, &ran_out, err);
    if (ran_out && keeps_norms(model)) {
        size_t before = planned_bytes(model);

        FX_TRY(plan_again(model, err));
        status = allocate_planned(model, &ran_out, err);
        if (status == FX_OK)
            say_planned_again(model, before);
    }
    return ran_out ? say_too_little(model, err) : status;
}

void fx_cuda_program_destroy(struct fx_program *program)
{
    for (int i = 0; i < program->n_captures; i++)
        if (program->captures[i].exec)
            cudaGraphExecDestroy(program->captures[i].exec);
    cudaFree(program->running);
    fx_cuda_marks_fini(program);
    fx_cuda_compiled_fini(program);
    fx_lowered_fini(&program->lowered);
    free(program);
}
