/* Steps by name, and the way from buffer numbers to addresses. */
#include "backend/lower/steps.h"

#include <stdlib.h>

const char *fx_step_name(enum fx_step_kind kind)
{
    static const char *const names[FX_N_STEP_KINDS] = {
        [FX_STEP_COPY_OUT] = "copy out",
        [FX_STEP_COPY_IN] = "concat",
        [FX_STEP_ADD] = "add",
        [FX_STEP_RELU_BACK] = "relu backward",
        [FX_STEP_ADD_INTO] = "add gradients",
        [FX_STEP_CONV_FORWARD] = "conv forward",
        [FX_STEP_CONV_DATA] = "conv data",
        [FX_STEP_CONV_WEIGHTS] = "conv weights",
        [FX_STEP_NORM_STATS] = "norm stats",
        [FX_STEP_NORM_APPLY] = "norm apply",
        [FX_STEP_NORM_BACK] = "norm backward",
        [FX_STEP_NORM_GATHER] = "norm gather",
        [FX_STEP_NORM_SETTLE] = "norm settle",
        [FX_STEP_MASK] = "dropout mask",
        [FX_STEP_DROP] = "dropout",
        [FX_STEP_AVGPOOL] = "avgpool",
        [FX_STEP_AVGPOOL_BACK] = "avgpool backward",
        [FX_STEP_GLOBALPOOL] = "globalpool",
        [FX_STEP_GLOBALPOOL_BACK] = "globalpool backward",
        [FX_STEP_VECTOR] = "vectors",
        [FX_STEP_VECTOR_BACK] = "vectors backward",
    };

    return names[kind];
}

const struct fx_view *fx_step_written(const struct fx_step *step)
{
    switch (step->kind) {
    case FX_STEP_GLOBALPOOL_BACK:
        return &step->views[0];
    case FX_STEP_COPY_OUT:
    case FX_STEP_COPY_IN:
    case FX_STEP_ADD_INTO:
    case FX_STEP_CONV_FORWARD:
    case FX_STEP_CONV_DATA:
    case FX_STEP_NORM_APPLY:
    case FX_STEP_DROP:
    case FX_STEP_AVGPOOL:
    case FX_STEP_AVGPOOL_BACK:
        return &step->views[1];
    case FX_STEP_ADD:
    case FX_STEP_RELU_BACK:
    case FX_STEP_NORM_BACK:
    case FX_STEP_NORM_GATHER:
    case FX_STEP_NORM_SETTLE:
        return step->views[2].image_bytes > 0 ? &step->views[2] : NULL;
    default:
        return NULL;
    }
}

void fx_lowered_fini(struct fx_lowered *lowered)
{
    for (int lane = 0; lane < FX_MAX_LANES_OF_GRAPH; lane++)
        free(lowered->lanes[lane].steps);
    fx_plan_fini(&lowered->plan);
    free(lowered->nodes);
    *lowered = (struct fx_lowered){ 0 };
}

/* ---- places ---- */

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
        for (int s = 0; s < lowered->lanes[lane].n_steps; s++)
            for (int v = 0; v < FX_STEP_MAX_VIEWS; v++) {
                struct fx_view *view = &lowered->lanes[lane].steps[s].views[v];

                if (view->image_bytes > 0)
                    view->data = address(lowered, base, view->buffer);
            }
}
