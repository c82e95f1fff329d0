/* BATCHNORM with the ReLU and the dropout behind it.
 *
 * Forward: the statistics, then one pass that writes the result.  Backward: two sums over the
 * batch, then one pass that writes or adds the gradient.  A channel block of the whole batch is
 * processed before the next one, so that the second pass finds it in the cache.  Sums are f32
 * within an image's block and double beyond. */
#include "backend/cpu/cpu_internal.h"

#include <math.h>
#include <string.h>

enum { WEIGHT, BIAS, RUNNING_MEAN, RUNNING_VAR }; /* numbers in node->params */

/* ---- statistics ---- */

/* The batch's, of the map that the norm reads; NULL: the running ones. */
static const struct fx_stats *stats_of(int norm, const struct fx_cpu_exec *exec)
{
    const struct fx_node_state *nodes = exec->program->lowered.nodes;
    int owner = nodes[norm].norm_stats;

    return owner >= 0 ? &nodes[owner].stats : NULL;
}

/* Adds a span of n pixels with its mean and squared deviations to those of `count` pixels.
 * Source: Chan, Golub, LeVeque, "Updating formulae ... computing sample variances" (1979). */
static void merge_moments(int width, double count, double n, const float *span_mean,
                          const float *span_m2, double *mean, double *m2)
{
    for (int l = 0; l < width; l++) {
        double delta = (double)span_mean[l] - mean[l];

        mean[l] += delta * n / (count + n);
        m2[l] += (double)span_m2[l] + delta * delta * count * n / (count + n);
    }
}

static void block_stats(const struct fx_loops *loops, const struct fx_view *x, int n, int block,
                        const struct fx_stats *stats)
{
    double mean[FX_MAX_BLOCK] = { 0 }, m2[FX_MAX_BLOCK] = { 0 };
    double count = (double)n * x->area;
    struct fx_channels span_mean, span_m2;

    for (int i = 0; i < n; i++) {
        loops->moments(fx_view_at(x, loops, i, block), (size_t)x->area, span_mean.v, span_m2.v);
        merge_moments(loops->block, (double)i * x->area, x->area, span_mean.v, span_m2.v, mean, m2);
    }
    for (int l = 0; l < loops->block; l++) {
        int c = block * loops->block + l;

        if (c >= x->c)
            break;
        stats->mean[c] = (float)mean[l];
        stats->var[c] = (float)(m2[l] / count);
        stats->unbiased[c] = (float)(count > 1 ? m2[l] / (count - 1) : m2[l] / count);
    }
}

enum fx_status fx_cpu_norm_stats(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                                 struct fx_err *err)
{
    const struct fx_model *model = exec->program->model;
    const struct fx_loops *loops = model->device->loops;
    const struct fx_stats *stats = stats_of(s->node, exec);
    int n_blocks = fx_blocks(s->operands[0].c, loops->block);

    (void)err;
    if (s->first < s->operands[0].c) {
#pragma omp parallel for
        for (int block = s->first / loops->block; block < n_blocks; block++)
            block_stats(loops, &s->operands[0], exec->program->lowered.n, block, stats);
    }
    fx_store_gather((struct fx_store *)&model->step.store, fx_instr_node(s, exec), stats->mean,
                    stats->unbiased);
    return FX_OK;
}

/* ---- coefficients ---- */

/* What a norm does to the channels of one block; zeros beyond the last channel, so that padding
 * stays zero and what lies behind a prefix has no effect. */
struct coefficients {
    struct fx_channels scale, shift, mean, invstd;
};

static void coefficients_of(int norm, const struct fx_cpu_exec *exec, int block,
                            struct coefficients *k)
{
    const struct fx_store *store = &exec->program->model->step.store;
    const struct fx_node *node = &exec->program->lowered.graph->nodes[norm];
    const struct fx_stats *stats = stats_of(norm, exec);
    const float *weight = fx_store_at(store, node->params[WEIGHT], FX_ROLE_VALUE);
    const float *bias = fx_store_at(store, node->params[BIAS], FX_ROLE_VALUE);
    const float *mean =
        stats ? stats->mean : fx_store_at(store, node->params[RUNNING_MEAN], FX_ROLE_VALUE);
    const float *var =
        stats ? stats->var : fx_store_at(store, node->params[RUNNING_VAR], FX_ROLE_VALUE);
    int width = exec->program->model->device->loops->block;

    *k = (struct coefficients){ 0 };
    for (int l = 0, c = block * width; l < width && c < node->shape.c; l++, c++) {
        double invstd = 1 / sqrt((double)var[c] + (double)node->eps);
        double scale = (double)weight[c] * invstd;

        k->invstd.v[l] = (float)invstd;
        k->mean.v[l] = mean[c];
        k->scale.v[l] = (float)scale;
        k->shift.v[l] = (float)((double)bias[c] - (double)mean[c] * scale);
    }
}

struct fx_conv_norm fx_cpu_norm_for_conv(int norm, const struct fx_cpu_exec *exec, float *scale)
{
    const struct fx_node *node = &exec->program->lowered.graph->nodes[norm];
    int width = exec->program->model->device->loops->block;
    int n_blocks = fx_blocks(node->shape.c, width);
    float *shift = scale + n_blocks * width;
    struct coefficients k;

    for (int block = 0; block < n_blocks; block++) {
        coefficients_of(norm, exec, block, &k);
        memcpy(scale + block * width, k.scale.v, (size_t)width * sizeof *scale);
        memcpy(shift + block * width, k.shift.v, (size_t)width * sizeof *shift);
    }
    return (struct fx_conv_norm){ scale, shift };
}

/* The dropout words of block `block` of image i of the map v. */
static struct fx_kept kept_of(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                              const struct fx_view *v, int i, int block)
{
    const struct fx_node_state *nodes = exec->program->lowered.nodes;
    int drop = nodes[s->node].norm_drop;
    struct fx_kept kept = { NULL, 1.0f };

    if (drop >= 0) {
        size_t blocks = (size_t)fx_blocks(v->c, exec->program->model->device->loops->block);
        const uint16_t *words = nodes[drop].mask.words;

        kept.words = words + ((size_t)i * blocks + (size_t)block) * (size_t)v->area;
        kept.factor = nodes[drop].mask.factor;
    }
    return kept;
}

/* ---- forward ---- */

enum fx_status fx_cpu_norm_apply(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                                 struct fx_err *err)
{
    const struct fx_loops *loops = exec->program->model->device->loops;
    const struct fx_view *x = &s->operands[0], *y = &s->operands[1];
    bool relu = fx_instr_node(s, exec)->relu;

    (void)err;
#pragma omp parallel for
    for (int block = 0; block < fx_blocks(x->c, loops->block); block++) {
        struct coefficients k;

        coefficients_of(s->node, exec, block, &k);
        for (int i = 0; i < exec->program->lowered.n; i++)
            loops->bn_apply(fx_view_at(x, loops, i, block), fx_view_at(y, loops, i, block),
                            (size_t)x->area, &k.scale, &k.shift, relu,
                            kept_of(s, exec, x, i, block));
    }
    return FX_OK;
}

/* ---- backward ---- */

/* Sums over the batch of a block: of g, and of g * (x - mean); then the parameters' gradients and
 * the two coefficients of dx that come from the statistics. */
static void block_sums(const struct fx_instr *s, const struct fx_cpu_exec *exec, int block,
                       const struct coefficients *k, struct fx_bn_back *b)
{
    const struct fx_store *store = &exec->program->model->step.store;
    const struct fx_loops *loops = exec->program->model->device->loops;
    const struct fx_node *node = fx_instr_node(s, exec);
    const struct fx_view *x = &s->operands[0], *dy = &s->operands[1];
    float *d_weight = fx_store_at(store, node->params[WEIGHT], FX_ROLE_GRAD);
    float *d_bias = fx_store_at(store, node->params[BIAS], FX_ROLE_GRAD);
    double sum_g[FX_MAX_BLOCK] = { 0 }, sum_gx[FX_MAX_BLOCK] = { 0 };
    double count = (double)exec->program->lowered.n * x->area;
    struct fx_channels g, gx;

    for (int i = 0; i < exec->program->lowered.n; i++) {
        loops->bn_sums(fx_view_at(x, loops, i, block), fx_view_at(dy, loops, i, block),
                       (size_t)x->area, b, kept_of(s, exec, x, i, block), g.v, gx.v);
        for (int l = 0; l < loops->block; l++) {
            sum_g[l] += (double)g.v[l];
            sum_gx[l] += (double)gx.v[l];
        }
    }
    for (int l = 0, c = block * loops->block; l < loops->block && c < x->c; l++, c++) {
        double invstd = (double)k->invstd.v[l], scale = (double)k->scale.v[l];
        float dw = (float)(sum_gx[l] * invstd), db = (float)sum_g[l];

        d_weight[c] = exec->accumulate ? d_weight[c] + dw : dw;
        d_bias[c] = exec->accumulate ? d_bias[c] + db : db;
        b->by_x.v[l] = (float)(-scale * invstd * invstd * sum_gx[l] / count);
        b->constant.v[l] = (float)(-scale * sum_g[l] / count);
    }
}

enum fx_status fx_cpu_norm_back(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                                struct fx_err *err)
{
    const struct fx_loops *loops = exec->program->model->device->loops;
    const struct fx_view *x = &s->operands[0], *dy = &s->operands[1], *dx = &s->operands[2];

    (void)err;
#pragma omp parallel for
    for (int block = 0; block < fx_blocks(x->c, loops->block); block++) {
        struct coefficients k;
        struct fx_bn_back b = { .relu = fx_instr_node(s, exec)->relu };

        coefficients_of(s->node, exec, block, &k);
        b.scale = b.by_g = k.scale;
        b.shift = k.shift;
        b.mean = k.mean;
        if (stats_of(s->node, exec)) /* else the norm is fixed */
            block_sums(s, exec, block, &k, &b);
        for (int i = 0; dx->data && i < exec->program->lowered.n; i++)
            loops->bn_back(fx_view_at(x, loops, i, block), fx_view_at(dy, loops, i, block),
                           fx_view_at(dx, loops, i, block), (size_t)x->area, &b,
                           kept_of(s, exec, x, i, block), s->accumulate);
    }
    return FX_OK;
}
