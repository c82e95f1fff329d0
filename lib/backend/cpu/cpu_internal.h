/* The records of the cpu back end (device, model, program), and the function for each opcode.
 *
 * Flow: backend/lower writes the program's instructions and has conv.c compile their convolutions
 * -> the memory plan gives the buffers offsets -> views are bound to addresses when the model
 * allocates
 * -> workers run the instructions of their lanes (step.c). */
#ifndef FX_BACKEND_CPU_CPU_INTERNAL_H
#define FX_BACKEND_CPU_CPU_INTERNAL_H

#include "backend/cpu/dnnl_internal.h"
#include "backend/cpu/workers_internal.h"
#include "backend/cpu/layout_internal.h"
#include "ops/dropout.h"
#include "backend/host/step.h"
#include "backend/lower/lower.h"

struct fx_device {
    struct fx_device_options options;
    struct fx_dnnl *dnnl; /* owned */
    const struct fx_loops *loops;
    bool bf16;
};

struct fx_model {
    struct fx_host_step step;
    struct fx_device *device;     /* borrowed */
    const struct fx_graph *graph; /* borrowed */
    bool trains;
    int n_lanes; /* without the head, whose number it is */
    struct fx_worker_share share;
    struct fx_workers *workers;                           /* owned */
    struct fx_dnnl_stream *streams[FX_GRAPH_MAX_EXPERTS]; /* owned; one for each worker */
    struct fx_weight_layout **layouts;                    /* owned; of each convolution's weight,
                                                             NULL for other parameters */
    struct fx_program *programs;                          /* owned list */
    size_t activation_bytes, workspace_bytes;             /* of the largest program */
    struct fx_arena activations, workspaces[FX_GRAPH_MAX_EXPERTS];
};

/* The compiled forms of one CONV2D node. */
struct fx_conv_op {
    struct fx_weight_layout layout;
    int n_runs; /* 1, or the number of groups, run one after the other on group-major maps */
    int param;
    struct fx_dnnl_conv *directions[FX_N_CONV_DIRECTIONS]; /* owned; may be NULL */
};

struct fx_program {
    struct fx_model *model;    /* borrowed */
    struct fx_program *next;   /* owned: the model's list */
    struct fx_lowered lowered; /* owned parts */
    struct fx_conv_op *convs;  /* owned; one for each node of the graph */
    size_t workspace_bytes;
    struct fx_batch batch; /* borrowed parts: valid until the step's last call */
};

/* ---- instructions; backend/lower/instruction.h says what each computes ---- */

/* What an instruction may use while it runs. */
struct fx_cpu_exec {
    const struct fx_program *program;
    struct fx_dnnl_stream *stream;
    void *workspace;
    bool accumulate; /* backward adds to the parameters' gradients */
};

typedef enum fx_status fx_cpu_fn(const struct fx_instr *instr, const struct fx_cpu_exec *exec,
                                 struct fx_err *err);

fx_cpu_fn fx_cpu_copy_out, fx_cpu_copy_in;                            /* concat.c */
fx_cpu_fn fx_cpu_add, fx_cpu_relu_back, fx_cpu_add_into;              /* add.c */
fx_cpu_fn fx_cpu_conv_forward, fx_cpu_conv_data, fx_cpu_conv_weights; /* conv.c */
fx_cpu_fn fx_cpu_norm_stats, fx_cpu_norm_apply, fx_cpu_norm_back;     /* norm.c */
fx_cpu_fn fx_cpu_mask, fx_cpu_drop;                                   /* dropout.c */
fx_cpu_fn fx_cpu_avgpool, fx_cpu_avgpool_back;                        /* pool.c */
fx_cpu_fn fx_cpu_globalpool, fx_cpu_globalpool_back;                  /* pool.c */
fx_cpu_fn fx_cpu_dense, fx_cpu_dense_back;                            /* dense.c */

/* The rules of the lowering that compile (conv.c) and that count the workspace (dense.c); ctx is
 * the program. */
int fx_cpu_group_major_of(void *ctx, const struct fx_node *conv, int c_in, int n);
enum fx_status fx_cpu_conv_compile(void *ctx, int node, enum fx_conv_direction direction,
                                   const struct fx_view *x, const struct fx_view *y,
                                   struct fx_err *err);
void fx_cpu_dense_workspace(void *ctx, int node, bool is_backward);

static inline const struct fx_node *fx_instr_node(const struct fx_instr *instr,
                                                  const struct fx_cpu_exec *exec)
{
    return &exec->program->lowered.graph->nodes[instr->node];
}

/* The first byte of channel block `block` of image i. */
static inline void *fx_view_at(const struct fx_view *v, const struct fx_loops *loops, int i,
                               int block)
{
    size_t pixel = (size_t)loops->block * loops->value_bytes;
    char *base = v->data;

    if (v->group_blocks > 0) {
        base += (size_t)(block / v->group_blocks) * v->group_bytes;
        block %= v->group_blocks;
    }
    return base + (size_t)i * v->image_bytes + (size_t)block * (size_t)v->area * pixel;
}

/* ---- functions of the back-end table (backend.h) in model.c ---- */

enum fx_status fx_cpu_device_open(struct fx_device **device,
                                  const struct fx_device_options *options, struct fx_err *err);
void fx_cpu_device_close(struct fx_device *device);
enum fx_status fx_cpu_model_create(struct fx_model **model, struct fx_device *device,
                                   const struct fx_graph *graph, bool trains, struct fx_err *err);
void fx_cpu_model_destroy(struct fx_model *model);
void fx_cpu_model_memory(const struct fx_model *model, struct fx_memory *memory);
enum fx_status fx_cpu_model_allocate(struct fx_model *model, struct fx_err *err);
enum fx_status fx_cpu_program_create(struct fx_program **program, struct fx_model *model,
                                     enum fx_mode mode, int n, struct fx_err *err);
void fx_cpu_program_destroy(struct fx_program *program);

#endif
