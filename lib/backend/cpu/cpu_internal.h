/* The records of the cpu back end (device, model, program), and the function for each opcode.
 *
 * Flow: backend/lower writes the program's instructions and has conv.c compile their convolutions;
 * the memory plan gives the buffers offsets; views are bound to addresses when the model allocates;
 * workers run the instructions of their lanes (step.c). */
#ifndef FX_BACKEND_CPU_CPU_INTERNAL_H
#define FX_BACKEND_CPU_CPU_INTERNAL_H

#include "backend/cpu/dnnl_internal.h"
#include "backend/cpu/loops_internal.h"
#include "backend/cpu/im2col_internal.h"
#include "backend/cpu/shift_internal.h"
#include "backend/cpu/winograd_internal.h"
#include "backend/host/step.h"
#include "backend/lower/lower.h"
#include "net/blocks.h"
#include "ops/dropout.h"

/* ---- layout (layout.c) ---- */

/* The blocked layouts of the cpu back end, and the way in and out of them.
 *
 * A map is nChw{b}c: blocks of b channels, each pixel's b channels side by side; the last block is
 * padded with zeros.  A convolution's weights are [groups]OIhw{b}i{b}o, padded with zeros in both
 * channel counts (net/blocks.h). */

/* plain: (c_out, c_in / groups, kernel, kernel) in C order.  pack also writes the zeros. */
void fx_weight_pack(const struct fx_weight_layout *l, const float *plain, float *packed);
void fx_weight_unpack(const struct fx_weight_layout *l, const float *packed, float *plain);

/* Puts zeros where a gradient has no parameter: between groups that were merged. */
void fx_weight_clear_rest(const struct fx_weight_layout *l, float *packed);

/* A map of one image between C order (c, h, w) f32 and blocks; pack writes the zeros. */
void fx_map_pack(const struct fx_loops *loops, int c, int area, const float *plain, void *packed);
void fx_map_unpack(const struct fx_loops *loops, int c, int area, const void *packed, float *plain);

/* ---- worker threads (workers.c) ---- */

/* The worker threads of a model.  Lanes run side by side on the first `n_lanes` of them, each with
 * its own OpenMP team inside oneDNN and our loops; the update runs in chunks on all of them.
 * Which worker does what is fixed, so results do not depend on scheduling. */

/* How many lanes run at a time, and how many OpenMP threads each gets. */
struct fx_worker_share {
    int n_workers; /* divides n_lanes */
    int n_threads; /* of each worker; n_workers * n_threads <= threads */
};
/* fx_worker_share_of: the division of `threads` that keeps most of them busy; of two equal ones
 * that with more workers, because one core per lane beats two cores per convolution. */
struct fx_worker_share fx_worker_share_of(int n_lanes, int threads);

struct fx_workers; /* the threads */

/* fx_workers_create: starts n_threads threads that wait for work; each has team OpenMP threads. */
enum fx_status fx_workers_create(struct fx_workers **workers, int n_threads, int team,
                                 struct fx_err *err) FX_MUST_CHECK;
void fx_workers_destroy(struct fx_workers *workers); /* accepts NULL */

/* One worker's share of a job; its own error record is merged by fx_workers_run. */
typedef enum fx_status fx_worker_job(void *ctx, int worker, struct fx_err *err);

/* fx_workers_run: job(ctx, worker) on workers 0 .. n_workers-1 at once; returns when all are done,
 * with the failure of the lowest worker. */
enum fx_status fx_workers_run(struct fx_workers *workers, int n_workers, fx_worker_job *job,
                              void *ctx, struct fx_err *err) FX_MUST_CHECK;

/* fx_workers_parallel: the workers as the host code's struct fx_parallel; item i runs on worker i
 * modulo the number of threads. */
struct fx_parallel fx_workers_parallel(struct fx_workers *workers);

/* ---- device, model, program ---- */

struct fx_device {
    struct fx_device_options options;
    struct fx_dnnl *dnnl; /* owned */
    const struct fx_loops *loops;
    const struct fx_winograd_loops *winograd; /* of the same block */
    const struct fx_im2col_loops *im2col;
    const struct fx_shift_loops *shift; /* for bf16 maps; NULL: f32, or no tiles */
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

/* One compiled direction of a convolution. */
struct fx_conv_code {
    enum { FX_CONV_DNNL, FX_CONV_WINOGRAD, FX_CONV_IM2COL, FX_CONV_SHIFT } way;
    union {
        struct fx_dnnl_conv *dnnl; /* owned; NULL: the direction is not wanted */
        struct fx_winograd winograd;
        struct fx_im2col im2col;
        struct fx_shift shift;
    };
    size_t workspace; /* bytes */
};

/* fx_conv_code_compile: the fastest way there is, for as many OpenMP threads as the calling thread
 * would use.  fx_conv_code_run: see fx_dnnl_conv_run; norm: of x, only where fx_conv_norms. */
bool fx_conv_norms(const struct fx_device *device, const struct fx_conv_shape *shape);
enum fx_status fx_conv_code_compile(struct fx_conv_code *code, const struct fx_device *device,
                                    const struct fx_conv_shape *shape,
                                    enum fx_conv_direction direction,
                                    struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_conv_code_run(const struct fx_conv_code *code, struct fx_dnnl_stream *stream,
                                const struct fx_conv_norm *norm, void *x, float *weights, void *y,
                                void *workspace, struct fx_err *err) FX_MUST_CHECK;
void fx_conv_code_fini(struct fx_conv_code *code); /* accepts a zeroed record */

/* The compiled forms of one CONV2D node. */
struct fx_conv_op {
    struct fx_weight_layout layout;
    int param;
    struct fx_conv_code directions[FX_N_CONV_DIRECTIONS];
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
fx_cpu_fn fx_cpu_norm_gather, fx_cpu_norm_settle;                     /* norm.c */
fx_cpu_fn fx_cpu_mask, fx_cpu_drop;                                   /* dropout.c */
fx_cpu_fn fx_cpu_avgpool, fx_cpu_avgpool_back;                        /* pool.c */
fx_cpu_fn fx_cpu_globalpool, fx_cpu_globalpool_back;                  /* pool.c */
fx_cpu_fn fx_cpu_dense, fx_cpu_dense_back;                            /* dense.c */

/* The rules of the lowering that compile (conv.c) and that count the workspace (dense.c); ctx is
 * the program. */
enum fx_status fx_cpu_conv_compile(void *ctx, int node, enum fx_conv_direction direction,
                                   const struct fx_view *x, const struct fx_view *y,
                                   struct fx_err *err);
bool fx_cpu_conv_norms(void *ctx, int node);
void fx_cpu_dense_workspace(void *ctx, int node, bool is_backward);

/* What norm `norm` does to its input, for a convolution that does it; scale has room for two arrays
 * of the channels in whole blocks. */
struct fx_conv_norm fx_cpu_norm_for_conv(int norm, const struct fx_cpu_exec *exec, float *scale);

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

bool fx_cpu_prefers_bf16(void);
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
