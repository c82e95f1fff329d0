/* What the cpu back end runs for each kind of step; backend/lower/steps.h says what a step means.
 * Each returns when the step is done. */
#ifndef FX_BACKEND_CPU_CPU_RUN_H
#define FX_BACKEND_CPU_CPU_RUN_H

#include "backend/cpu/program.h"

/* What a step may use while it runs. */
struct fx_run {
    const struct fx_program *program;
    struct fx_dnnl_stream *stream;
    void *workspace;
    bool accumulate; /* backward adds to the parameters' gradients */
};

typedef enum fx_status fx_step_fn(const struct fx_step *step, const struct fx_run *run,
                                  struct fx_err *err);

fx_step_fn fx_cpu_copy_out, fx_cpu_copy_in;                            /* concat.c */
fx_step_fn fx_cpu_add, fx_cpu_relu_back, fx_cpu_add_into;              /* addition.c */
fx_step_fn fx_cpu_conv_forward, fx_cpu_conv_data, fx_cpu_conv_weights; /* conv.c */
fx_step_fn fx_cpu_norm_stats, fx_cpu_norm_apply, fx_cpu_norm_back;     /* norm.c */
fx_step_fn fx_cpu_mask, fx_cpu_drop;                                   /* dropping.c */
fx_step_fn fx_cpu_avgpool, fx_cpu_avgpool_back;                        /* pooling.c */
fx_step_fn fx_cpu_globalpool, fx_cpu_globalpool_back;                  /* pooling.c */
fx_step_fn fx_cpu_vector, fx_cpu_vector_back;                          /* vectors.c */

/* The rules of the lowering that compile (conv.c) and that count the workspace (vectors.c); ctx is
 * the program. */
int fx_cpu_split_of(void *ctx, const struct fx_node *conv, int c_in, int n);
enum fx_status fx_cpu_conv_compile(void *ctx, int node, enum fx_conv_direction direction,
                                   const struct fx_view *x, const struct fx_view *y,
                                   struct fx_err *err);
void fx_cpu_vector_workspace(void *ctx, int node, bool is_backward);

static inline const struct fx_node *fx_step_node(const struct fx_step *step,
                                                 const struct fx_run *run)
{
    return &run->program->lowered.graph->nodes[step->node];
}

/* The first byte of channel block `block` of image i. */
static inline void *fx_view_at(const struct fx_view *v, const struct fx_loops *loops, int i,
                               int block)
{
    size_t pixel = (size_t)loops->lanes * loops->value_bytes;
    char *base = v->data;

    if (v->group_blocks > 0) {
        base += (size_t)(block / v->group_blocks) * v->group_bytes;
        block %= v->group_blocks;
    }
    return base + (size_t)i * v->image_bytes + (size_t)block * (size_t)v->area * pixel;
}

#endif
