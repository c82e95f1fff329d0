/* Which lanes run together, and what the libraries plan for their instructions. */
#include "backend/cuda/wgrad_stream_internal.h"

#include <stdlib.h>

static const struct fx_cuda_operator *const operators[FX_N_OPCODES] = {
    [FX_INSTR_COPY_OUT] = &fx_cuda_copy_out,
    [FX_INSTR_COPY_IN] = &fx_cuda_copy_in,
    [FX_INSTR_ADD] = &fx_cuda_add,
    [FX_INSTR_RELU_BACK] = &fx_cuda_relu_back,
    [FX_INSTR_ADD_INTO] = &fx_cuda_add_into,
    [FX_INSTR_CONV_FORWARD] = &fx_cuda_conv,
    [FX_INSTR_CONV_BACK_DATA] = &fx_cuda_conv,
    [FX_INSTR_CONV_BACK_WEIGHTS] = &fx_cuda_conv,
    [FX_INSTR_NORM_STATS] = &fx_cuda_norm_stats,
    [FX_INSTR_NORM_APPLY] = &fx_cuda_norm_apply,
    [FX_INSTR_NORM_BACK] = &fx_cuda_norm_back,
    [FX_INSTR_NORM_GATHER] = &fx_cuda_norm_gather,
    [FX_INSTR_NORM_SETTLE] = &fx_cuda_norm_settle,
    [FX_INSTR_DROP] = &fx_cuda_drop_map,
    [FX_INSTR_AVGPOOL] = &fx_cuda_avgpool,
    [FX_INSTR_AVGPOOL_BACK] = &fx_cuda_avgpool_back,
    [FX_INSTR_GLOBALPOOL] = &fx_cuda_globalpool,
    [FX_INSTR_GLOBALPOOL_BACK] = &fx_cuda_globalpool_back,
    [FX_INSTR_DENSE] = &fx_cuda_dense_forward,
    [FX_INSTR_DENSE_BACK] = &fx_cuda_dense_backward,
};

const struct fx_cuda_operator *fx_cuda_operator_of(enum fx_opcode op)
{
    return operators[op];
}

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
        size_t from = layout->extents[x->params[i]].offset,
               to = layout->extents[y->params[i]].offset;
        bool is_weight = fx_param_is_weight(&layout->graph->params[x->params[i]]);

        if (layout->extents[x->params[i]].n != layout->extents[y->params[i]].n)
            return false;
        if (is_weight ? !same_distance(&p->trained, &p->has_trained, from, to)
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

/* The same offset in the regions of both lanes, or the same thing of the head's. */
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

/* Dense nodes of which several lanes can run in one launch. */
static bool runs_in_lanes(const struct fx_lowered *lowered, const struct fx_instr *instr)
{
    enum fx_node_kind kind;

    if (instr->op != FX_INSTR_DENSE && instr->op != FX_INSTR_DENSE_BACK)
        return true;
    kind = lowered->graph->nodes[instr->node].kind;
    return kind == FX_NODE_LINEAR || kind == FX_NODE_LAYERNORM || kind == FX_NODE_DROPOUT;
}

/* The dropouts that are applied with two norms. */
static bool drops_match(struct pair *p, int a, int b)
{
    const struct fx_node_state *states = p->program->lowered.nodes;

    return a < 0 || nodes_match(p, states[a].norm_drop, states[b].norm_drop);
}

static bool steps_match(struct pair *p, const struct fx_instr *x, const struct fx_instr *y)
{
    if (x->op != y->op || x->first != y->first || x->accumulate != y->accumulate ||
        x->sum_relu != y->sum_relu || counterpart(p, x->node) != y->node ||
        !nodes_match(p, x->node, y->node) || !drops_match(p, x->node, y->node) ||
        !runs_in_lanes(&p->program->lowered, x))
        return false;
    for (int i = 0; i < FX_NODE_MAX_INPUTS; i++)
        if (x->adds[i] != y->adds[i])
            return false;
    for (int i = 0; i < FX_INSTR_MAX_OPERANDS; i++)
        if (!views_match(p, &x->operands[i], &y->operands[i]))
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

/* Whether lane b does what lane a does, at constant distances.  Gradients of a shared INPUT are
 * added by one lane after the other. */
static bool lanes_match(struct pair *p)
{
    const struct fx_lowered *lowered = &p->program->lowered;
    const struct fx_instr_list *x = &lowered->lanes[p->a], *y = &lowered->lanes[p->b];

    if (lowered->graph->input_gradients && lowered->mode == FX_TRAIN)
        return false;
    if (x->n_instrs != y->n_instrs || x->n_forward != y->n_forward ||
        p->program->size[p->a] != p->program->size[p->b])
        return false;
    p->nodes = first_node_of(lowered->graph, p->b) - first_node_of(lowered->graph, p->a);
    for (int i = 0; i < x->n_instrs; i++)
        if (!steps_match(p, &x->instrs[i], &y->instrs[i]))
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

struct fx_cuda_exec fx_cuda_exec_of(const struct fx_program *program,
                                    const struct fx_lane_batch *batch)
{
    const struct fx_model *model = program->model;

    return (struct fx_cuda_exec){
        .program = program,
        .batch = batch,
        .launch = { .stream = model->device->main,
                    .n_lanes = batch->n,
                    .n_processors = model->device->n_processors,
                    .bf16 = model->device->bf16,
                    .tickets = model->tickets },
        .images = fx_batch_block_view(model->batch, model->n_max),
    };
}

static enum fx_status compile_batch(struct fx_program *program, const struct fx_lane_batch *batch,
                                    struct fx_err *err)
{
    const struct fx_instr_list *list = &program->lowered.lanes[batch->first];
    struct fx_cuda_exec exec = fx_cuda_exec_of(program, batch);
    struct fx_compiled *compiled = calloc((size_t)list->n_instrs + 1, sizeof *compiled);

    if (!compiled)
        return fx_fail(err, FX_EFAIL, "device cuda: out of memory for a program");
    program->compiled[batch->first] = compiled;
    for (int i = 0; i < list->n_instrs; i++) {
        const struct fx_cuda_operator *kind = operators[list->instrs[i].op];
        size_t bytes = 0;
        size_t *workspace = &program->model->workspace_bytes[fx_wgrad_queue_of(&list->instrs[i])];

        if (kind->compile)
            FX_TRY(kind->compile(&exec, &list->instrs[i], &compiled[i], &bytes, err));
        *workspace = bytes > *workspace ? bytes : *workspace;
    }
    fx_wgrad_find_waits(&program->lowered, batch->first, compiled);
    return FX_OK;
}

enum fx_status fx_cuda_compile(struct fx_program *program, struct fx_err *err)
{
    find_batches(program);
    for (int i = 0; i <= program->n_batches; i++)
        FX_TRY(compile_batch(program, &program->batches[i], err));
    return FX_OK;
}

void fx_cuda_compiled_fini(struct fx_program *program)
{
    for (int lane = 0; lane < FX_MAX_LANES_OF_GRAPH; lane++) {
        struct fx_compiled *compiled = program->compiled[lane];

        for (int i = 0; compiled && i < program->lowered.lanes[lane].n_instrs; i++)
            fx_compiled_clear(&compiled[i]);
        free(compiled);
        program->compiled[lane] = NULL;
    }
    program->n_batches = 0;
}
