/* Steps by name, and the way from buffer numbers to addresses. */
#include "backend/lower/instruction.h"

#include <stdlib.h>

const char *fx_opcode_name(enum fx_opcode op)
{
    static const char *const names[FX_N_OPCODES] = {
        [FX_INSTR_COPY_OUT] = "copy out",
        [FX_INSTR_COPY_IN] = "concat",
        [FX_INSTR_ADD] = "add",
        [FX_INSTR_RELU_BACK] = "relu backward",
        [FX_INSTR_ADD_INTO] = "add gradients",
        [FX_INSTR_CONV_FORWARD] = "conv forward",
        [FX_INSTR_CONV_BACK_DATA] = "conv backward data",
        [FX_INSTR_CONV_BACK_WEIGHTS] = "conv backward weights",
        [FX_INSTR_NORM_STATS] = "norm stats",
        [FX_INSTR_NORM_APPLY] = "norm apply",
        [FX_INSTR_NORM_BACK] = "norm backward",
        [FX_INSTR_NORM_GATHER] = "norm gather",
        [FX_INSTR_NORM_SETTLE] = "norm settle",
        [FX_INSTR_MASK] = "dropout mask",
        [FX_INSTR_DROP] = "dropout",
        [FX_INSTR_AVGPOOL] = "avgpool",
        [FX_INSTR_AVGPOOL_BACK] = "avgpool backward",
        [FX_INSTR_GLOBALPOOL] = "globalpool",
        [FX_INSTR_GLOBALPOOL_BACK] = "globalpool backward",
        [FX_INSTR_DENSE] = "dense",
        [FX_INSTR_DENSE_BACK] = "dense backward",
    };

    return names[op];
}

/* The number of the operand that is the result; -1: none is. */
static int result_of(const struct fx_instr *instr)
{
    switch (instr->op) {
    case FX_INSTR_GLOBALPOOL_BACK:
        return 0;
    case FX_INSTR_COPY_OUT:
    case FX_INSTR_COPY_IN:
    case FX_INSTR_ADD_INTO:
    case FX_INSTR_CONV_FORWARD:
    case FX_INSTR_CONV_BACK_DATA:
    case FX_INSTR_NORM_APPLY:
    case FX_INSTR_DROP:
    case FX_INSTR_AVGPOOL:
    case FX_INSTR_AVGPOOL_BACK:
        return 1;
    case FX_INSTR_ADD:
    case FX_INSTR_RELU_BACK:
    case FX_INSTR_NORM_BACK:
    case FX_INSTR_NORM_GATHER:
    case FX_INSTR_NORM_SETTLE:
        return instr->operands[2].image_bytes > 0 ? 2 : -1;
    case FX_INSTR_NORM_STATS:
        return instr->operands[1].image_bytes > 0 ? 0 : -1;
    default:
        return -1;
    }
}

int fx_instr_written(const struct fx_instr *instr,
                     const struct fx_view *written[FX_INSTR_MAX_WRITTEN])
{
    int n = 0, result = result_of(instr);

    if (result >= 0)
        written[n++] = &instr->operands[result];
    if (instr->op == FX_INSTR_NORM_BACK && instr->operands[3].image_bytes > 0)
        written[n++] = &instr->operands[1];
    return n;
}

void fx_lowered_fini(struct fx_lowered *lowered)
{
    for (int lane = 0; lane < FX_MAX_LANES_OF_GRAPH; lane++)
        free(lowered->lanes[lane].instrs);
    fx_plan_fini(&lowered->plan);
    free(lowered->nodes);
    *lowered = (struct fx_lowered){ 0 };
}

/* ---- offsets ---- */

static void forward_lengths(const struct fx_lowered *lowered, int n_forward[FX_MAX_LANES_OF_GRAPH])
{
    for (int lane = 0; lane <= lowered->n_lanes; lane++)
        n_forward[lane] = lowered->lanes[lane].n_forward;
}

enum fx_status fx_lowered_place(struct fx_lowered *lowered, const int *worker, int n_workers,
                                struct fx_err *err)
{
    int n_forward[FX_MAX_LANES_OF_GRAPH];

    forward_lengths(lowered, n_forward);
    return fx_plan_place(&lowered->plan, lowered->n_lanes + 1, n_forward, worker, n_workers, err);
}

enum fx_status fx_lowered_place_lanes(struct fx_lowered *lowered, size_t *base, size_t *size,
                                      struct fx_err *err)
{
    int n_forward[FX_MAX_LANES_OF_GRAPH];

    forward_lengths(lowered, n_forward);
    return fx_plan_place_lanes(&lowered->plan, lowered->n_lanes + 1, n_forward, base, size, err);
}

/* ---- addresses ---- */

static void *address(const struct fx_lowered *lowered, char *const *base, int buffer)
{
    const struct fx_buffer *b = &lowered->plan.buffers[buffer];

    return base[b->lane] + b->offset;
}

static void bind_node(const struct fx_lowered *lowered, char *const *base,
                      struct fx_node_state *state)
{
    if (state->value.buffer >= 0)
        state->value.data = address(lowered, base, state->value.buffer);
    if (state->gradient.buffer >= 0)
        state->gradient.data = address(lowered, base, state->gradient.buffer);
    if (state->stats.stride > 0) {
        state->stats.mean = address(lowered, base, state->stats.buffer);
        state->stats.var = state->stats.mean + state->stats.stride;
        state->stats.unbiased = state->stats.var + state->stats.stride;
        state->stats.d_bias = state->stats.unbiased + state->stats.stride;
        state->stats.d_weight = state->stats.d_bias + state->stats.stride;
    }
    if (state->mask.n_words > 0)
        state->mask.words = address(lowered, base, state->mask.buffer);
}

void fx_lowered_bind(struct fx_lowered *lowered, char *const *base)
{
    for (int i = 0; i < lowered->graph->n_nodes; i++)
        bind_node(lowered, base, &lowered->nodes[i]);
    for (int lane = 0; lane <= lowered->n_lanes; lane++)
        for (int s = 0; s < lowered->lanes[lane].n_instrs; s++)
            for (int v = 0; v < FX_INSTR_MAX_OPERANDS; v++) {
                struct fx_view *view = &lowered->lanes[lane].instrs[s].operands[v];

                if (view->image_bytes > 0)
                    view->data = address(lowered, base, view->buffer);
            }
}

/* Where a program's time goes: the time of each instruction, summed by kind over all lanes, the
 * slowest kind first. */

struct cost {
    enum fx_opcode op;
    uint64_t ns;
    int n; /* instructions */
};

static int slower_first(const void *a_, const void *b_)
{
    const struct cost *a = a_, *b = b_;

    return (a->ns < b->ns) - (a->ns > b->ns);
}

void fx_lowered_profile_print(struct fx_lowered *lowered, FILE *out)
{
    struct cost costs[FX_N_OPCODES] = { { 0 } };

    for (int k = 0; k < FX_N_OPCODES; k++)
        costs[k].op = (enum fx_opcode)k;
    for (int lane = 0; lane <= lowered->n_lanes; lane++)
        for (int i = 0; i < lowered->lanes[lane].n_instrs; i++) {
            struct fx_instr *instr = &lowered->lanes[lane].instrs[i];

            costs[instr->op].ns += instr->ns;
            costs[instr->op].n++;
            instr->ns = 0;
        }
    fprintf(out, "program of %d images, lanes of %d instructions\n", lowered->n,
            lowered->lanes[0].n_instrs);
    qsort(costs, FX_N_OPCODES, sizeof *costs, slower_first);
    for (int k = 0; k < FX_N_OPCODES; k++)
        if (costs[k].n > 0)
            fprintf(out, "%9.1f ms %5d x %s\n", (double)costs[k].ns / 1e6, costs[k].n,
                    fx_opcode_name(costs[k].op));
}
