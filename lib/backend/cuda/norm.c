/* BATCHNORM with the ReLU and the dropout behind it.  The statistics of a channel are computed
 * once, however many norms read it. */
#include "backend/cuda/cuda_internal.h"

enum { WEIGHT, BIAS, RUNNING_MEAN, RUNNING_VAR }; /* numbers in node->params */

/* The statistics that norm `node` reads, in training. */
static const struct fx_stats *stats_of(const struct fx_cuda_exec *exec, int node)
{
    const struct fx_lowered *lowered = &exec->program->lowered;

    return &lowered->nodes[lowered->nodes[node].norm_stats].stats;
}

/* Lane 0's array of statistics and the way to the next lane's. */
static struct fx_k_array stats_array(const struct fx_cuda_exec *exec, const struct fx_stats *stats,
                                     float *data)
{
    const struct fx_lowered *lowered = &exec->program->lowered;
    bool is_shared = lowered->plan.buffers[stats->buffer].lane == lowered->n_lanes;

    return (struct fx_k_array){ data, is_shared ? 0 : exec->batch->arena_bytes / sizeof(float) };
}

static struct fx_k_norm norm_of(const struct fx_cuda_exec *exec, const struct fx_instr *s)
{
    int node = s->node;
    const struct fx_lowered *lowered = &exec->program->lowered;
    const struct fx_node *n = &lowered->graph->nodes[node];
    struct fx_k_norm norm = {
        .weight = fx_cuda_param(exec, n->params[WEIGHT], FX_ROLE_VALUE),
        .bias = fx_cuda_param(exec, n->params[BIAS], FX_ROLE_VALUE),
        .mean = fx_cuda_param(exec, n->params[RUNNING_MEAN], FX_ROLE_VALUE),
        .var = fx_cuda_param(exec, n->params[RUNNING_VAR], FX_ROLE_VALUE),
        .eps = n->eps,
        .relu = n->relu,
    };

    if (lowered->nodes[node].norm_stats >= 0) {
        const struct fx_stats *stats = stats_of(exec, node);

        norm.mean = stats_array(exec, stats, stats->mean);
        norm.var = stats_array(exec, stats, stats->var);
    }
    if (lowered->nodes[node].norm_drop >= 0)
        norm.mask = fx_cuda_mask(exec, lowered->nodes[node].norm_drop, s->draws);
    return norm;
}

static enum fx_status compile_stats(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                    struct fx_compiled *compiled, size_t *workspace,
                                    struct fx_err *err)
{
    size_t *tickets = &exec->program->model->ticket_bytes;
    int c = s->operands[0].c, n_lanes = exec->launch.n_lanes;
    size_t n_bytes = fx_k_norm_tickets(c, n_lanes);

    (void)compiled;
    (void)err;
    *tickets = n_bytes > *tickets ? n_bytes : *tickets;
    *workspace = fx_k_norm_scratch(&exec->launch, fx_cuda_rows(exec, &s->operands[0]), c);
    return FX_OK;
}

static enum fx_status launch_stats(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                   const struct fx_compiled *compiled, struct fx_err *err)
{
    const struct fx_stats *stats = stats_of(exec, s->node);
    struct fx_k_array mean = stats_array(exec, stats, stats->mean);
    struct fx_k_stats out = { mean.data, mean.lane, stats->stride };
    struct fx_k_map x = fx_cuda_map(exec, &s->operands[0]);
    int rows = fx_cuda_rows(exec, &s->operands[0]);

    (void)compiled;
    if (s->operands[1].image_bytes > 0) {
        struct fx_k_map from = fx_cuda_map(exec, &s->operands[1]);

        FX_CUDA(fx_k_norm_stats_copy(&exec->launch, &from, &x, s->first, rows, &out,
                                     fx_cuda_workspace(exec, 0)));
    } else if (s->first < x.c) {
        FX_CUDA(
            fx_k_norm_stats(&exec->launch, &x, s->first, rows, &out, fx_cuda_workspace(exec, 0)));
    }
    return FX_OK;
}

static enum fx_status launch_apply(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                   const struct fx_compiled *compiled, struct fx_err *err)
{
    struct fx_k_map x = fx_cuda_map(exec, &s->operands[0]), y = fx_cuda_map(exec, &s->operands[1]);
    struct fx_k_norm norm = norm_of(exec, s);

    (void)compiled;
    if (s->operands[2].image_bytes > 0) {
        struct fx_k_map a = fx_cuda_map(exec, &s->operands[2]);

        FX_CUDA(fx_k_norm_add(&exec->launch, &x, &a, &y, fx_cuda_rows(exec, &s->operands[0]), &norm,
                              s->sum_relu));
        return FX_OK;
    }
    FX_CUDA(fx_k_norm_apply(&exec->launch, &x, &y, fx_cuda_rows(exec, &s->operands[0]), &norm));
    return FX_OK;
}

/* The coefficients of dx lie at the start of the workspace, the scratch of the sums behind them. */
static size_t coefficient_bytes(const struct fx_cuda_exec *exec, const struct fx_instr *s)
{
    size_t c = (size_t)fx_blocks(s->operands[0].c, FX_K_BLOCK) * FX_K_BLOCK;

    return fx_device_round(3 * c * sizeof(float) * (size_t)exec->launch.n_lanes);
}

static enum fx_status compile_back(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                   struct fx_compiled *compiled, size_t *workspace,
                                   struct fx_err *err)
{
    FX_TRY(compile_stats(exec, s, compiled, workspace, err));
    *workspace += coefficient_bytes(exec, s);
    return FX_OK;
}

static enum fx_status launch_back(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                  const struct fx_compiled *compiled, struct fx_err *err)
{
    const struct fx_node *node = &exec->program->model->graph->nodes[s->node];
    struct fx_k_map x = fx_cuda_map(exec, &s->operands[0]), dy = fx_cuda_map(exec, &s->operands[1]);
    struct fx_k_norm norm = norm_of(exec, s);
    bool is_fixed = fx_graph_is_fixed(exec->program->model->graph, node);
    float *coefficients = is_fixed ? NULL : fx_cuda_workspace(exec, 0);
    bool has_sum = s->operands[3].image_bytes > 0;
    struct fx_k_map sum = has_sum ? fx_cuda_map(exec, &s->operands[3]) : (struct fx_k_map){ 0 };
    int rows = fx_cuda_rows(exec, &s->operands[0]);

    (void)compiled;
    if (!is_fixed)
        FX_CUDA(fx_k_norm_back_sums(&exec->launch, &x, &dy, has_sum ? &sum : NULL, rows, &norm,
                                    fx_cuda_param(exec, node->params[WEIGHT], FX_ROLE_GRAD),
                                    fx_cuda_param(exec, node->params[BIAS], FX_ROLE_GRAD),
                                    exec->accumulate, coefficients,
                                    fx_cuda_workspace(exec, coefficient_bytes(exec, s))));
    if (s->operands[2].image_bytes > 0) {
        struct fx_k_map dx = fx_cuda_map(exec, &s->operands[2]);

        FX_CUDA(fx_k_norm_back_apply(&exec->launch, &x, &dy, &dx, rows, &norm, coefficients,
                                     s->accumulate));
    }
    return FX_OK;
}

/* ---- norms that share a map ---- */

static struct fx_k_stats gathered_of(const struct fx_cuda_exec *exec, const struct fx_stats *stats)
{
    struct fx_k_array mean = stats_array(exec, stats, stats->mean);

    return (struct fx_k_stats){ mean.data, mean.lane, stats->stride };
}

static enum fx_status launch_gather(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                    const struct fx_compiled *compiled, struct fx_err *err)
{
    const struct fx_node *node = &exec->program->model->graph->nodes[s->node];
    struct fx_k_map x = fx_cuda_map(exec, &s->operands[0]), dy = fx_cuda_map(exec, &s->operands[1]);
    struct fx_k_map g = fx_cuda_map(exec, &s->operands[2]);
    struct fx_k_stats stats = gathered_of(exec, stats_of(exec, s->node));
    struct fx_k_norm norm = norm_of(exec, s);

    (void)compiled;
    FX_CUDA(fx_k_norm_gather(&exec->launch, &x, &dy, &g, fx_cuda_rows(exec, &s->operands[0]), &norm,
                             fx_cuda_param(exec, node->params[WEIGHT], FX_ROLE_GRAD),
                             fx_cuda_param(exec, node->params[BIAS], FX_ROLE_GRAD),
                             exec->accumulate, &stats, s->accumulate, fx_cuda_workspace(exec, 0)));
    return FX_OK;
}

static enum fx_status launch_settle(const struct fx_cuda_exec *exec, const struct fx_instr *s,
                                    const struct fx_compiled *compiled, struct fx_err *err)
{
    const struct fx_stats *owner = &exec->program->lowered.nodes[s->node].stats;
    struct fx_k_map x = fx_cuda_map(exec, &s->operands[0]), g = fx_cuda_map(exec, &s->operands[1]);
    struct fx_k_map dx = fx_cuda_map(exec, &s->operands[2]);
    struct fx_k_stats stats = gathered_of(exec, owner);

    (void)compiled;
    FX_CUDA(fx_k_norm_settle(&exec->launch, &x, &g, s->first, &dx,
                             fx_cuda_rows(exec, &s->operands[0]), &stats, owner->eps));
    return FX_OK;
}

const struct fx_cuda_operator fx_cuda_norm_gather = { compile_stats, launch_gather };
const struct fx_cuda_operator fx_cuda_norm_settle = { NULL, launch_settle };
const struct fx_cuda_operator fx_cuda_norm_stats = { compile_stats, launch_stats };
const struct fx_cuda_operator fx_cuda_norm_apply = { NULL, launch_apply };
const struct fx_cuda_operator fx_cuda_norm_back = { compile_back, launch_back };
