/* BATCHNORM with the ReLU and the dropout behind it.
 *
 * Forward: the statistics, then one pass that writes the result.  Backward: two sums over the
 * batch, then one pass that writes or adds the gradient.  A channel block of the whole batch is
 * processed before the next one, so that the second pass finds it in the cache.  Sums are f32
 * within an image's block and double beyond.  The norms of a concatenation, DenseNet's, hand on
 * what is linear in dy, in one pass each; the rest is done once for all of them. */
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

/* Sums over the batch of a block: of g, and of g * (x - mean). */
struct block_sums {
    double g[FX_MAX_BLOCK], gx[FX_MAX_BLOCK];
};

/* A NORM_GATHER writes its map meanwhile. */
static void sum_block(const struct fx_instr *s, const struct fx_cpu_exec *exec, int block,
                      const struct fx_bn_back *b, struct block_sums *sums)
{
    const struct fx_loops *loops = exec->program->model->device->loops;
    const struct fx_view *x = &s->operands[0], *dy = &s->operands[1], *to = &s->operands[2];
    struct fx_channels g, gx;

    *sums = (struct block_sums){ 0 };
    for (int i = 0; i < exec->program->lowered.n; i++) {
        const void *from = fx_view_at(x, loops, i, block), *d = fx_view_at(dy, loops, i, block);
        struct fx_kept kept = kept_of(s, exec, x, i, block);

        if (s->op == FX_INSTR_NORM_GATHER)
            loops->bn_gather(from, d, fx_view_at(to, loops, i, block), (size_t)x->area, b, kept,
                             s->accumulate, g.v, gx.v);
        else
            loops->bn_sums(from, d, (size_t)x->area, b, kept, g.v, gx.v);
        for (int l = 0; l < loops->block; l++) {
            sums->g[l] += (double)g.v[l];
            sums->gx[l] += (double)gx.v[l];
        }
    }
}

static void keep(float *to, double value, bool add)
{
    *to = add ? *to + (float)value : (float)value;
}

/* The parameters' gradients, of channel l of a block, the layer's channel c. */
static void keep_gradients(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                           const struct coefficients *k, const struct block_sums *sums, int l,
                           int c)
{
    const struct fx_store *store = &exec->program->model->step.store;
    const struct fx_node *node = fx_instr_node(s, exec);

    keep(fx_store_at(store, node->params[WEIGHT], FX_ROLE_GRAD) + c,
         sums->gx[l] * (double)k->invstd.v[l], exec->accumulate);
    keep(fx_store_at(store, node->params[BIAS], FX_ROLE_GRAD) + c, sums->g[l], exec->accumulate);
}

/* The sums of a block: the parameters' gradients, and the two coefficients of dx that come from the
 * statistics. */
static void use_sums(const struct fx_instr *s, const struct fx_cpu_exec *exec, int block,
                     const struct coefficients *k, struct fx_bn_back *b)
{
    const struct fx_view *x = &s->operands[0];
    int width = exec->program->model->device->loops->block;
    double count = (double)exec->program->lowered.n * x->area;
    struct block_sums sums;

    sum_block(s, exec, block, b, &sums);
    for (int l = 0, c = block * width; l < width && c < x->c; l++, c++) {
        double invstd = (double)k->invstd.v[l], scale = (double)k->scale.v[l];

        keep_gradients(s, exec, k, &sums, l, c);
        b->by_x.v[l] = (float)(-scale * invstd * invstd * sums.gx[l] / count);
        b->constant.v[l] = (float)(-scale * sums.g[l] / count);
    }
}

/* What passes ReLU and dropout, and how. */
static struct fx_bn_back back_of(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                                 const struct coefficients *k)
{
    return (struct fx_bn_back){ .scale = k->scale,
                                .shift = k->shift,
                                .mean = k->mean,
                                .by_g = k->scale,
                                .relu = fx_instr_node(s, exec)->relu };
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
        struct fx_bn_back b;

        coefficients_of(s->node, exec, block, &k);
        b = back_of(s, exec, &k);
        if (stats_of(s->node, exec)) /* else the norm is fixed */
            use_sums(s, exec, block, &k, &b);
        for (int i = 0; dx->data && i < exec->program->lowered.n; i++)
            loops->bn_back(fx_view_at(x, loops, i, block), fx_view_at(dy, loops, i, block),
                           fx_view_at(dx, loops, i, block), (size_t)x->area, &b,
                           kept_of(s, exec, x, i, block), s->accumulate);
    }
    return FX_OK;
}

/* ---- backward, of many norms on one map; kernels/norm_gather.cu has the algebra ---- */

enum fx_status fx_cpu_norm_gather(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                                  struct fx_err *err)
{
    const struct fx_stats *stats = stats_of(s->node, exec);
    const struct fx_store *store = &exec->program->model->step.store;
    const float *weight = fx_store_at(store, fx_instr_node(s, exec)->params[WEIGHT], FX_ROLE_VALUE);
    int width = exec->program->model->device->loops->block;

    (void)err;
#pragma omp parallel for
    for (int block = 0; block < fx_blocks(s->operands[0].c, width); block++) {
        int first = block * width, n = fx_smaller(width, s->operands[0].c - first);
        struct coefficients k;
        struct fx_bn_back b;
        struct block_sums sums;

        coefficients_of(s->node, exec, block, &k);
        b = back_of(s, exec, &k);
        b.by_g = (struct fx_channels){ { 0 } };
        memcpy(b.by_g.v, weight + first, (size_t)n * sizeof *weight);
        sum_block(s, exec, block, &b, &sums);
        for (int l = 0; l < n; l++) {
            double w = (double)weight[first + l];

            keep_gradients(s, exec, &k, &sums, l, first + l);
            keep(stats->d_bias + first + l, w * sums.g[l], s->accumulate);
            keep(stats->d_weight + first + l, w * sums.gx[l] * (double)k.invstd.v[l],
                 s->accumulate);
        }
    }
    return FX_OK;
}

/* Of n channels from `first` on. */
static struct fx_bn_back settled(const struct fx_stats *stats, double count, int first, int n)
{
    struct fx_bn_back b = { .relu = false };

    for (int l = 0, c = first; l < n; l++, c++) {
        double invstd = 1 / sqrt((double)stats->var[c] + (double)stats->eps);

        b.mean.v[l] = stats->mean[c];
        b.by_g.v[l] = (float)invstd;
        b.by_x.v[l] = (float)(-invstd * invstd * (double)stats->d_weight[c] / count);
        b.constant.v[l] = (float)(-invstd * (double)stats->d_bias[c] / count);
    }
    return b;
}

/* n channels from any one on, of pixel p of image i; zeros behind them. */
static void pick(const struct fx_view *v, const struct fx_loops *loops, int i, int p, int first,
                 int n, struct fx_channels *to)
{
    size_t size = loops->value_bytes;

    *to = (struct fx_channels){ { 0 } };
    for (int l = 0; l < n; l++) {
        int c = first + l;
        const char *block = fx_view_at(v, loops, i, c / loops->block);

        memcpy((char *)to + (size_t)l * size,
               block + (size_t)(p * loops->block + c % loops->block) * size, size);
    }
}

/* A block of dx whose channels are not a block of x and g. */
static void settle_pixels(const struct fx_instr *s, const struct fx_loops *loops, int i, int block,
                          const struct fx_bn_back *b)
{
    const struct fx_view *dx = &s->operands[2];
    int first = block * loops->block, n = fx_smaller(loops->block, dx->c - first);
    size_t pixel = (size_t)loops->block * loops->value_bytes;
    char *to = fx_view_at(dx, loops, i, block);

    for (int p = 0; p < dx->area; p++, to += pixel) {
        struct fx_channels x, g;

        pick(&s->operands[0], loops, i, p, s->first + first, n, &x);
        pick(&s->operands[1], loops, i, p, s->first + first, n, &g);
        loops->bn_back(&x, &g, to, 1, b, (struct fx_kept){ 0 }, false);
    }
}

enum fx_status fx_cpu_norm_settle(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                                  struct fx_err *err)
{
    const struct fx_loops *loops = exec->program->model->device->loops;
    const struct fx_stats *stats = &exec->program->lowered.nodes[s->node].stats;
    const struct fx_view *x = &s->operands[0], *g = &s->operands[1], *dx = &s->operands[2];
    int n = exec->program->lowered.n, skip = s->first / loops->block;

    (void)err;
#pragma omp parallel for
    for (int block = 0; block < fx_blocks(dx->c, loops->block); block++) {
        int first = block * loops->block;
        struct fx_bn_back b = settled(stats, (double)n * x->area, s->first + first,
                                      fx_smaller(loops->block, dx->c - first));

        for (int i = 0; i < n; i++)
            if (s->first % loops->block == 0)
                loops->bn_back(fx_view_at(x, loops, i, skip + block),
                               fx_view_at(g, loops, i, skip + block),
                               fx_view_at(dx, loops, i, block), (size_t)x->area, &b,
                               (struct fx_kept){ 0 }, false);
            else
                settle_pixels(s, loops, i, block, &b);
    }
    return FX_OK;
}
