/* The calls of a training step on the cpu, and the back-end table. */
#include "backend/backend.h"
#include "backend/cpu/cpu_internal.h"

#include <string.h>
#include <time.h>

static enum fx_status check_stop(const struct fx_model *model, struct fx_err *err)
{
    bool (*should_stop)(void) = model->device->options.should_stop;

    if (should_stop && should_stop())
        return fx_fail(err, FX_ESTOPPED, "stopped");
    return FX_OK;
}

/* ---- input ---- */

struct input_job {
    const struct fx_program *program;
    const struct fx_view *to;
    struct fx_value_shape shape;
    const float *from;
};

static void pack_image(void *ctx, size_t i)
{
    const struct input_job *job = ctx;
    const struct fx_loops *loops = job->program->model->device->loops;

    fx_map_pack(loops, job->shape.c, job->shape.h * job->shape.w,
                job->from + i * (size_t)fx_shape_elements(job->shape),
                fx_view_at(job->to, loops, (int)i, 0));
}

/* Values of a node from C order. */
static void write_value(const struct fx_program *program, int node, const struct fx_view *to,
                        const float *from)
{
    struct fx_value_shape shape = program->model->graph->nodes[node].shape;
    struct input_job job = { program, to, shape, from };
    struct fx_parallel parallel = fx_workers_parallel(program->model->workers);

    if (to->is_map)
        parallel.run(parallel.owner, (size_t)program->lowered.n, pack_image, &job);
    else
        memcpy(to->data, from,
               (size_t)program->lowered.n * (size_t)fx_shape_elements(shape) * sizeof(float));
}

static enum fx_status input(struct fx_program *program, const struct fx_batch *batch,
                            struct fx_err *err)
{
    int node = program->model->graph->input;

    if (batch->n != program->lowered.n)
        return fx_fail(err, FX_EUSAGE, "device cpu: a batch of %d for a program of %d", batch->n,
                       program->lowered.n);
    program->batch = *batch;
    if (batch->pixels)
        write_value(program, node, &program->lowered.nodes[node].value, batch->pixels);
    return FX_OK;
}

/* ---- running instructions ---- */

static fx_cpu_fn *const run_instr[FX_N_OPCODES] = {
    [FX_INSTR_COPY_OUT] = fx_cpu_copy_out,
    [FX_INSTR_COPY_IN] = fx_cpu_copy_in,
    [FX_INSTR_ADD] = fx_cpu_add,
    [FX_INSTR_RELU_BACK] = fx_cpu_relu_back,
    [FX_INSTR_ADD_INTO] = fx_cpu_add_into,
    [FX_INSTR_CONV_FORWARD] = fx_cpu_conv_forward,
    [FX_INSTR_CONV_BACK_DATA] = fx_cpu_conv_data,
    [FX_INSTR_CONV_BACK_WEIGHTS] = fx_cpu_conv_weights,
    [FX_INSTR_NORM_STATS] = fx_cpu_norm_stats,
    [FX_INSTR_NORM_APPLY] = fx_cpu_norm_apply,
    [FX_INSTR_NORM_BACK] = fx_cpu_norm_back,
    [FX_INSTR_NORM_GATHER] = fx_cpu_norm_gather,
    [FX_INSTR_NORM_SETTLE] = fx_cpu_norm_settle,
    [FX_INSTR_MASK] = fx_cpu_mask,
    [FX_INSTR_DROP] = fx_cpu_drop,
    [FX_INSTR_AVGPOOL] = fx_cpu_avgpool,
    [FX_INSTR_AVGPOOL_BACK] = fx_cpu_avgpool_back,
    [FX_INSTR_GLOBALPOOL] = fx_cpu_globalpool,
    [FX_INSTR_GLOBALPOOL_BACK] = fx_cpu_globalpool_back,
    [FX_INSTR_DENSE] = fx_cpu_dense,
    [FX_INSTR_DENSE_BACK] = fx_cpu_dense_back,
};

struct pass {
    struct fx_program *program;
    bool is_backward;
    bool accumulate;
};

/* Processor time of the calling thread: what an instruction costs, whoever else uses the machine.
 */
static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static enum fx_status run_lane(const struct pass *pass, int lane, int worker, struct fx_err *err)
{
    struct fx_model *model = pass->program->model;
    struct fx_instr_list *list = &pass->program->lowered.lanes[lane];
    struct fx_cpu_exec exec = { .program = pass->program,
                                .stream = model->streams[worker],
                                .workspace = model->workspaces[worker].base,
                                .accumulate = pass->accumulate };
    int first = pass->is_backward ? list->n_forward : 0;
    int end = pass->is_backward ? list->n_instrs : list->n_forward;
    uint64_t begin = now_ns();

    for (int i = first; i < end; i++) {
        struct fx_instr *instr = &list->instrs[i];
        uint64_t done;

        FX_TRY(check_stop(model, err));
        FX_TRY(run_instr[instr->op](instr, &exec, err));
        done = now_ns();
        instr->ns += done - begin;
        begin = done;
    }
    return FX_OK;
}

static enum fx_status lanes_job(void *ctx, int worker, struct fx_err *err)
{
    const struct pass *pass = ctx;
    const struct fx_model *model = pass->program->model;

    /* Backward in the other direction, as the instructions were written. */
    for (int i = 0; i < model->n_lanes; i++) {
        int lane = pass->is_backward ? model->n_lanes - 1 - i : i;

        if (lane % model->share.n_workers == worker)
            FX_TRY(run_lane(pass, lane, worker, err));
    }
    return FX_OK;
}

static enum fx_status head_job(void *ctx, int worker, struct fx_err *err)
{
    const struct pass *pass = ctx;

    return run_lane(pass, pass->program->model->n_lanes, worker, err);
}

static enum fx_status forward(struct fx_program *program, struct fx_err *err)
{
    struct fx_model *model = program->model;
    struct pass pass = { .program = program };

    FX_TRY(fx_workers_run(model->workers, model->share.n_workers, lanes_job, &pass, err));
    FX_TRY(fx_workers_run(model->workers, 1, head_job, &pass, err));
    if (program->lowered.mode == FX_TRAIN)
        fx_store_forward_done(&model->step.store);
    return FX_OK;
}

/* ---- loss ---- */

static enum fx_status loss(struct fx_program *program, const struct fx_loss_config *config,
                           struct fx_err *err)
{
    const struct fx_graph *graph = program->model->graph;
    const struct fx_node_state *nodes = program->lowered.nodes;
    struct fx_heads heads = { .n = program->lowered.n,
                              .n_classes = graph->n_classes,
                              .n_experts = graph->n_experts };
    struct fx_targets targets = fx_batch_targets(&program->batch);

    if (graph->fused >= 0) {
        heads.fused = nodes[graph->fused].value.data;
        heads.d_fused = nodes[graph->fused].gradient.data;
    }
    for (int k = 0; k < graph->n_experts; k++) {
        heads.experts[k] = nodes[graph->logits[k]].value.data;
        heads.d_experts[k] = nodes[graph->logits[k]].gradient.data;
    }
    fx_loss_heads(&heads, &targets, config, &program->model->step.losses);
    return check_stop(program->model, err);
}

/* ---- backward ---- */

/* What dense nodes add to starts at zero: their gradients, except those that loss (or a
 * test) has written, and their parameters'. */
static void clear_dense(const struct fx_program *program, bool accumulate)
{
    const struct fx_graph *graph = program->model->graph;

    for (int i = 0; i < graph->n_nodes; i++) {
        const struct fx_node *node = &graph->nodes[i];
        const struct fx_node_state *state = &program->lowered.nodes[i];

        if (!state->is_dense)
            continue;
        if (state->gradient.data && !state->is_output)
            memset(state->gradient.data, 0,
                   (size_t)program->lowered.n * (size_t)fx_shape_elements(node->shape) *
                       sizeof(float));
        if (accumulate || !state->gradient.data || fx_graph_is_fixed(graph, node))
            continue;
        for (int p = 0; p < node->n_params; p++)
            memset(fx_store_at(&program->model->step.store, node->params[p], FX_ROLE_GRAD), 0,
                   program->model->step.store.layout.extents[node->params[p]].n * sizeof(float));
    }
}

static enum fx_status backward(struct fx_program *program, bool accumulate, struct fx_err *err)
{
    struct fx_model *model = program->model;
    struct pass pass = { .program = program, .is_backward = true, .accumulate = accumulate };

    if (program->lowered.mode != FX_TRAIN)
        return fx_fail(err, FX_EUSAGE, "device cpu: an evaluation program has no backward pass");
    clear_dense(program, accumulate);
    FX_TRY(fx_workers_run(model->workers, 1, head_job, &pass, err));
    return fx_workers_run(model->workers, model->share.n_workers, lanes_job, &pass, err);
}

/* ---- update ---- */

static enum fx_status update(struct fx_program *program, const struct fx_update *config,
                             const struct fx_sgd *sgd, struct fx_err *err)
{
    struct fx_model *model = program->model;
    struct fx_parallel parallel = fx_workers_parallel(model->workers);

    return fx_host_update(&model->step.store, &model->step.losses, config, sgd, &parallel,
                          &model->step.result, err);
}

/* ---- values, for tests and logits ---- */

static enum fx_status find_value(const struct fx_program *program, int node, bool gradient,
                                 const struct fx_view **view, struct fx_err *err)
{
    const struct fx_node_state *state = &program->lowered.nodes[node];

    *view = gradient ? &state->gradient : &state->value;
    if ((*view)->buffer < 0 || !program->lowered.plan.buffers[(*view)->buffer].is_kept)
        return fx_fail(err, FX_EUSAGE, "device cpu: the %s of node %d is not kept",
                       gradient ? "gradient" : "value", node);
    return FX_OK;
}

static enum fx_status value_read(struct fx_program *program, int node, bool gradient, float *data,
                                 struct fx_err *err)
{
    struct fx_value_shape s = program->model->graph->nodes[node].shape;
    const struct fx_loops *loops = program->model->device->loops;
    const struct fx_view *view;
    size_t n = (size_t)fx_shape_elements(s);

    FX_TRY(find_value(program, node, gradient, &view, err));
    if (!view->is_map)
        memcpy(data, view->data, (size_t)program->lowered.n * n * sizeof(float));
    for (int i = 0; view->is_map && i < program->lowered.n; i++)
        fx_map_unpack(loops, s.c, s.h * s.w, fx_view_at(view, loops, i, 0), data + (size_t)i * n);
    return FX_OK;
}

static enum fx_status value_write(struct fx_program *program, int node, bool gradient,
                                  const float *data, struct fx_err *err)
{
    const struct fx_view *view;

    FX_TRY(find_value(program, node, gradient, &view, err));
    write_value(program, node, view, data);
    return FX_OK;
}

/* Of the worker of a lane, not of its OpenMP team. */
static void profile_print(struct fx_program *program, FILE *out)
{
    fx_lowered_profile_print(&program->lowered, out);
}

const struct fx_backend fx_backend_cpu = {
    .name = "cpu",
    .applies_rows = false,
    .prefers_bf16 = fx_cpu_prefers_bf16,
    .device_open = fx_cpu_device_open,
    .device_close = fx_cpu_device_close,
    .dataset_load = NULL,
    .model_create = fx_cpu_model_create,
    .model_destroy = fx_cpu_model_destroy,
    .model_memory = fx_cpu_model_memory,
    .model_allocate = fx_cpu_model_allocate,
    .program_create = fx_cpu_program_create,
    .tensor_write = fx_host_tensor_write,
    .tensor_read = fx_host_tensor_read,
    .averages_swap = fx_host_averages_swap,
    .input = input,
    .forward = forward,
    .loss = loss,
    .backward = backward,
    .update = update,
    .step_end = fx_host_step_end,
    .step_begin = fx_host_step_begin,
    .losses_read = fx_host_losses_read,
    .value_read = value_read,
    .value_write = value_write,
    .profile_print = profile_print,
};
