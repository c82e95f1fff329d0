/* The records of the cpu back end: device, model and program.
 *
 * Flow: backend/lower writes the program's steps and has conv.c compile their convolutions -> the
 * plan places the buffers -> views are bound to addresses when the model allocates -> lanes run
 * their steps (cpu_run.h). */
#ifndef FX_BACKEND_CPU_PROGRAM_H
#define FX_BACKEND_CPU_PROGRAM_H

#include "backend/cpu/dnnl_wrap.h"
#include "backend/cpu/lanes.h"
#include "backend/cpu/layout.h"
#include "ops/dropout.h"
#include "backend/host/store.h"
#include "backend/lower/lower.h"

struct fx_device {
    struct fx_device_options options;
    struct fx_dnnl *dnnl; /* owned */
    const struct fx_loops *loops;
    bool bf16;
};

struct fx_model {
    struct fx_device *device;     /* borrowed */
    const struct fx_graph *graph; /* borrowed */
    bool trains;
    struct fx_store store;
    struct fx_losses losses;      /* since step_begin */
    struct fx_step_result result; /* of the last update */
    int n_lanes;                  /* without the head, whose number it is */
    struct fx_lane_split split;
    struct fx_pool *pool;                                 /* owned */
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
    int n_runs; /* 1, or the number of groups, run one after the other on split maps */
    int param;
    struct fx_dnnl_conv *directions[FX_N_CONV_DIRECTIONS]; /* owned; may be NULL */
};

struct fx_program {
    struct fx_model *model;    /* borrowed */
    struct fx_program *next;   /* owned: the model's list */
    struct fx_lowered lowered; /* owned parts */
    struct fx_conv_op *convs;  /* owned; one for each node of the graph */
    size_t workspace_bytes;
    struct fx_batch batch; /* borrowed parts: valid until the step's last slot */
};

/* ---- private slots, in files of their own ---- */

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
