/* Which lanes run together, and the plans and workspace of their steps. */
#include "backend/cuda/aside.h"

#include <stdlib.h>

static const struct fx_cuda_step_kind *const kinds[FX_N_STEP_KINDS] = {
    [FX_STEP_COPY_OUT] = &fx_cuda_copy_out,
    [FX_STEP_COPY_IN] = &fx_cuda_copy_in,
    [FX_STEP_ADD] = &fx_cuda_add,
    [FX_STEP_RELU_BACK] = &fx_cuda_relu_back,
    [FX_STEP_ADD_INTO] = &fx_cuda_add_into,
    [FX_STEP_CONV_FORWARD] = &fx_cuda_conv_forward,
    [FX_STEP_CONV_DATA] = &fx_cuda_conv_data,
    [FX_STEP_CONV_WEIGHTS] = &fx_cuda_conv_weights,
    [FX_STEP_NORM_STATS] = &fx_cuda_norm_stats,
    [FX_STEP_NORM_APPLY] = &fx_cuda_norm_apply,
    [FX_STEP_NORM_BACK] = &fx_cuda_norm_back,
    [FX_STEP_NORM_GATHER] = &fx_cuda_norm_gather,
    [FX_STEP_NORM_SETTLE] = &fx_cuda_norm_settle,
    [FX_STEP_DROP] = &fx_cuda_drop_map,
    [FX_STEP_AVGPOOL] = &fx_cuda_avgpool,
    [FX_STEP_AVGPOOL_BACK] = &fx_cuda_avgpool_back,
    [FX_STEP_GLOBALPOOL] = &fx_cuda_globalpool,
    [FX_STEP_GLOBALPOOL_BACK] = &fx_cuda_globalpool_back,
    [FX_STEP_VECTOR] = &fx_cuda_vector_forward,
    [FX_STEP_VECTOR_BACK] = &fx_cuda_vector_backward,
};

/* ---- equal lanes ---- */

/* Two lanes that are compared; what lies at constant distances between them. */
struct pair {
    const struct fx_program *program;
    int a, b;
    int nodes; /* from a node of a to its counterpart in b */
    size_t trained, running;
    bool has_trained, has_running;
};

static bool same_distance(size_t *distance, bool *is_known, size_t from, size_t to)
{
    if (!*is_known) {
        *distance = to - from;
        *is_known = true;
    }
    return to - from == *distance;
}

static bool params_match(struct pair *p, const struct fx_node *x, const struct fx_node *y)
{
    const struct fx_store_layout *layout = &p->program->model->store.layout;

    for (int i = 0; i < x->n_params; i++) {
        size_t from = layout->slots[x->params[i]].offset, to = layout->slots[y->params[i]].offset;
        bool is_trained = layout->graph->params[x->params[i]].kind == FX_PARAM_TRAINED;

        if (layout->slots[x->params[i]].n != layout->slots[y->params[i]].n)
            return false;
        if (is_trained ? !same_distance(&p->trained, &p->has_trained, from, to)
                       : !same_distance(&p->running, &p->has_running, from, to))
            return false;
    }
    return true;
}

/* The counterpart in lane b of a node that lane a uses: what the head owns is its own. */
static int counterpart(const struct pair *p, int node)
{
    const struct fx_graph *graph = p->program->lowered.graph;

    return node >= 0 && graph->nodes[node].lane == p->a ? node + p->nodes : node;
}

static bool nodes_match(struct pair *p, int a, int b)
{
    const struct fx_graph *graph = p->program->lowered.graph;
    const struct fx_node *x, *y;

    if (a < 0 || b < 0)
        return a == b;
    x = &graph->nodes[a];
    y = &graph->nodes[b];
    if (x->kind != y->kind || x->n_inputs != y->n_inputs || x->n_params != y->n_params ||
        x->relu != y->relu || x->kernel != y->kernel || x->stride != y->stride ||
        x->pad != y->pad || x->groups != y->groups || x->p != y->p || x->eps != y->eps ||
        x->momentum != y->momentum || x->dropout_layer != y->dropout_layer ||
        x->shape.tokens != y->shape.tokens || x->shape.c != y->shape.c ||
        x->shape.h != y->shape.h || x->shape.w != y->shape.w)
        return false;
    for (int i = 0; i < x->n_inputs; i++)
        if (counterpart(p, x->inputs[i]) != y->inputs[i])
            return false;
    return params_match(p, x, y);
}

/* The same place in the regions of both lanes, or the same thing of the head's. */
static bool views_match(const struct pair *p, const struct fx_view *x, const struct fx_view *y)
{
    const struct fx_buffer *buffers = p->program->lowered.plan.buffers;
    const struct fx_buffer *from, *to;

    if (x->image_bytes == 0 || y->image_bytes == 0)
        return x->image_bytes == y->image_bytes;
    from = &buffers[x->buffer];
    to = &buffers[y->buffer];
    return x->c == y->c && x->area == y->area && x->image_bytes == y->image_bytes &&
           x->group_bytes == y->group_bytes && x->group_blocks == y->group_blocks &&
           from->offset == to->offset &&
           (from->lane == p->a ? to->lane == p->b : x->buffer == y->buffer);
}

/* Nodes on vectors of which several lanes can run in one launch. */
static bool runs_in_lanes(const struct fx_lowered *lowered, const struct fx_step *step)
{
    enum fx_node_kind kind;

    if (step->kind != FX_STEP_VECTOR && step->kind != FX_STEP_VECTOR_BACK)
        return true;
    kind = lowered->graph->nodes[step->node].kind;
    return kind == FX_NODE_LINEAR || kind == FX_NODE_LAYERNORM || kind == FX_NODE_DROPOUT;
}

/* The dropouts that are applied with two norms. */
static bool drops_match(struct pair *p, int a, int b)
{
    const struct fx_node_state *states = p->program->lowered.nodes;

    return a < 0 || nodes_match(p, states[a].norm_drop, states[b].norm_drop);
}

static bool steps_match(struct pair *p, const struct fx_step *x, const struct fx_step *y)
{
    if (x->kind != y->kind || x->first != y->first || x->accumulate != y->accumulate ||
        x->sum_relu != y->sum_relu || counterpart(p, x->node) != y->node ||
        !nodes_match(p, x->node, y->node) || !drops_match(p, x->node, y->node) ||
        !runs_in_lanes(&p->program->lowered, x))
        return false;
    for (int i = 0; i < FX_NODE_MAX_INPUTS; i++)
        if (x->adds[i] != y->adds[i])
            return false;
    for (int i = 0; i < FX_STEP_MAX_VIEWS; i++)
        if (!views_match(p, &x->views[i], &y->views[i]))
            return false;
    return true;
}

static int first_node_of(const struct fx_graph *graph, int lane)
{
    int i = 0;

    while (i < graph->n_nodes && graph->nodes[i].lane != lane)
        i++;
    return i;
}

/* Whether lane b does what lane a does, at constant distances.  Gradients of a shared INPUT (tests)
 * are added by one lane after the other. */
static bool lanes_match(struct pair *p)
{
    const struct fx_lowered *lowered = &p->program->lowered;
    const struct fx_steps *x = &lowered->lanes[p->a], *y = &lowered->lanes[p->b];

    if (lowered->graph->input_gradients || x->n_steps != y->n_steps ||
        x->n_forward != y->n_forward || p->program->size[p->a] != p->program->size[p->b])
        return false;
    p->nodes = first_node_of(lowered->graph, p->b) - first_node_of(lowered->graph, p->a);
    for (int i = 0; i < x->n_steps; i++)
        if (!steps_match(p, &x->steps[i], &y->steps[i]))
            return false;
    return true;
}

/* Extends `batch` by as many of the following lanes as are equal, one distance from lane to lane.
 */
static void extend(const struct fx_program *program, struct fx_lane_batch *batch)
{
    for (int lane = batch->first + 1; lane < program->lowered.n_lanes; lane++) {
        struct pair p = { .program = program, .a = lane - 1, .b = lane };
        size_t arena = program->base[lane] - program->base[lane - 1];

        if (!lanes_match(&p) ||
            (batch->n > 1 && (arena != batch->arena_bytes || p.trained != batch->trained_lane ||
                              p.running != batch->running_lane)))
            return;
        batch->n++;
        batch->arena_bytes = arena;
        batch->trained_lane = p.trained;
        batch->running_lane = p.running;
    }
}

static void find_batches(struct fx_program *program)
{
    int lane = 0;

    while (lane < program->lowered.n_lanes) {
        struct fx_lane_batch *batch = &program->batches[program->n_batches++];

        *batch = (struct fx_lane_batch){ .first = lane, .n = 1 };
        extend(program, batch);
        lane += batch->n;
    }
    program->batches[program->n_batches] = (struct fx_lane_batch){ .first = lane, .n = 1 };
}

/* ---- plans ---- */

static struct fx_cuda_run run_of(const struct fx_program *program,
                                 const struct fx_lane_batch *batch)
{
    const struct fx_model *model = program->model;

    return (struct fx_cuda_run){
        .program = program,
        .batch = batch,
        .launch = { .stream = model->device->main,
                    .n_lanes = batch->n,
                    .bf16 = model->device->bf16 },
        .images = fx_batch_block_view(model->batch, model->n_max),
    };
}

static enum fx_status compile_batch(struct fx_program *program, const struct fx_lane_batch *batch,
                                    struct fx_err *err)
{
    const struct fx_steps *steps = &program->lowered.lanes[batch->first];
    struct fx_cuda_run run = run_of(program, batch);
    struct fx_cuda_op *ops = calloc((size_t)steps->n_steps + 1, sizeof *ops);

    if (!ops)
        return fx_fail(err, FX_EFAIL, "device cuda: out of memory for a program");
    program->ops[batch->first] = ops;
    for (int i = 0; i < steps->n_steps; i++) {
        const struct fx_cuda_step_kind *kind = kinds[steps->steps[i].kind];
        size_t bytes = 0;
        size_t *workspace = &program->model->workspace_bytes[fx_aside_queue(&steps->steps[i])];

        if (kind->compile)
            FX_TRY(kind->compile(&run, &steps->steps[i], &ops[i], &bytes, err));
        *workspace = bytes > *workspace ? bytes : *workspace;
    }
    fx_aside_find(&program->lowered, batch->first, ops);
    return FX_OK;
}

enum fx_status fx_cuda_compile(struct fx_program *program, struct fx_err *err)
{
    find_batches(program);
    for (int i = 0; i <= program->n_batches; i++)
        FX_TRY(compile_batch(program, &program->batches[i], err));
    return FX_OK;
}

void fx_cuda_ops_fini(struct fx_program *program)
{
    for (int lane = 0; lane < FX_MAX_LANES_OF_GRAPH; lane++) {
        struct fx_cuda_op *ops = program->ops[lane];

        for (int i = 0; ops && i < program->lowered.lanes[lane].n_steps; i++) {
            fx_gemm_plan_destroy(ops[i].product);
            fx_gemm_plan_destroy(ops[i].weights[0]);
            fx_gemm_plan_destroy(ops[i].weights[1]);
        }
        free(ops);
    }
}

/* ---- launching ---- */

static enum fx_status launch_batch(const struct fx_program *program,
                                   const struct fx_lane_batch *batch, bool is_backward,
                                   bool accumulate, struct fx_err *err)
{
    const struct fx_steps *steps = &program->lowered.lanes[batch->first];
    struct fx_cuda_run run = run_of(program, batch);
    struct fx_aside aside = { .device = program->model->device,
                              .is_used = program->model->device->has_aside &&
                                         !program->marks[batch->first] };
    int first = is_backward ? steps->n_forward : 0;
    int end = is_backward ? steps->n_steps : steps->n_forward;

    run.accumulate = accumulate;
    FX_TRY(fx_cuda_mark(program, batch, first, is_backward, err));
    for (int i = first; i < end; i++) {
        const struct fx_step *step = &steps->steps[i];
        const struct fx_cuda_op *op = &program->ops[batch->first][i];

        FX_TRY(fx_aside_begin(&aside, &run, step, op, err));
        if (kinds[step->kind]->launch(&run, step, op, err) != FX_OK)
            return fx_err_prepend(err, "%s: ", fx_step_name(step->kind));
        FX_TRY(fx_aside_end(&aside, &run, err));
        FX_TRY(fx_cuda_mark(program, batch, i + 1, is_backward, err));
    }
    return fx_aside_join(&aside, aside.n_launched, err);
}

enum fx_status fx_cuda_launch_steps(const struct fx_program *program, bool is_backward,
                                    bool accumulate, struct fx_err *err)
{
    int n = program->n_batches + 1; /* the head's is the last: first in the backward pass */

    for (int i = 0; i < n; i++)
        FX_TRY(launch_batch(program, &program->batches[is_backward ? n - 1 - i : i], is_backward,
                            accumulate, err));
    return FX_OK;
}
