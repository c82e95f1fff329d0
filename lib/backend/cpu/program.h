/* What a graph is compiled into: a list of steps for each lane, over views of one arena.
 *
 * Flow: lower.h writes steps and buffers -> plan.h places the buffers -> views are bound to
 * addresses when the model allocates -> lanes run their steps. */
#ifndef FX_BACKEND_CPU_PROGRAM_H
#define FX_BACKEND_CPU_PROGRAM_H

#include "backend/cpu/dnnl_wrap.h"
#include "backend/cpu/lanes.h"
#include "backend/cpu/layout.h"
#include "backend/cpu/plan.h"
#include "backend/host/dropout_mask.h"
#include "backend/host/store.h"

struct fx_device {
    struct fx_device_options options;
    struct fx_dnnl *dnnl; /* owned */
    const struct fx_loops *loops;
    bool bf16;
};

enum { FX_MAX_LANES_OF_GRAPH = FX_GRAPH_MAX_EXPERTS + 1 }; /* the experts' and the head's */

struct fx_model {
    struct fx_device *device;     /* borrowed */
    const struct fx_graph *graph; /* borrowed */
    bool trains;
    struct fx_store store;
    struct fx_losses losses; /* since step_begin */
    int n_lanes;             /* without the head, whose number it is */
    struct fx_lane_split split;
    struct fx_pool *pool;                                 /* owned */
    struct fx_dnnl_stream *streams[FX_GRAPH_MAX_EXPERTS]; /* owned; one for each worker */
    struct fx_weight_layout **layouts;                    /* owned; of each convolution's weight,
                                                             NULL for other parameters */
    struct fx_program *programs;                          /* owned list */
    size_t activation_bytes, workspace_bytes;             /* of the largest program */
    struct fx_arena activations, workspaces[FX_GRAPH_MAX_EXPERTS];
};

/* Where a value or a gradient lies.  Vectors (is_map false) are packed rows of f32.  Maps are
 * blocked; one may be a channel prefix of something wider, or *split*: cut into groups of blocks,
 * each with all its images together, so that each group is a map of its own. */
struct fx_view {
    int buffer; /* -1: none */
    void *data; /* bound when the model allocates */
    bool is_map;
    bool is_exact;      /* nothing but this value in the buffer, zeros in its padding */
    int c, area, w;     /* channels; h * w; w */
    size_t image_bytes; /* from one image to the next */
    int group_blocks;   /* split: channel blocks of a group; 0: not split */
    size_t group_bytes; /* split: from one group to the next */
};

/* What a step may use while it runs. */
struct fx_run {
    const struct fx_program *program;
    struct fx_dnnl_stream *stream;
    void *workspace;
    bool accumulate; /* backward adds to the parameters' gradients */
};

struct fx_step;
typedef enum fx_status fx_step_fn(const struct fx_step *step, const struct fx_run *run,
                                  struct fx_err *err);

enum { FX_STEP_MAX_VIEWS = 3 };

/* One thing to do; the meaning of views and numbers is the step function's own. */
struct fx_step {
    fx_step_fn *fn;
    const char *name;
    int node;
    struct fx_view views[FX_STEP_MAX_VIEWS];
    int first;       /* a channel */
    bool accumulate; /* += into the last view */
    const void *op;  /* borrowed from the program: compiled primitive, statistics, mask */
    uint64_t ns;     /* time spent, over all runs */
};

struct fx_steps {
    struct fx_step *steps; /* owned */
    int n_steps, cap_steps;
    int n_forward; /* those of the forward pass come first */
};

/* The compiled forms of one CONV2D node. */
struct fx_conv_op {
    struct fx_weight_layout layout;
    int n_runs; /* 1, or the number of groups, run one after the other on split maps */
    int param;
    struct fx_dnnl_conv *directions[3]; /* owned; indexed by enum fx_dnnl_direction, may be NULL */
};

/* Batch statistics of the channels of a map, shared by all BATCHNORM nodes that read it: three
 * arrays of `stride` floats (mean, biased variance, unbiased variance) in the arena. */
struct fx_stats {
    int buffer;
    float *mean, *var, *unbiased; /* bound */
    int stride;                   /* 0: no statistics */
    int n_known;                  /* channels whose step is written already */
};

/* A dropout node's mask, one word a pixel and block (loops.h). */
struct fx_mask {
    int buffer;
    uint16_t *words; /* bound; NULL: none */
    size_t n_words;
    float factor; /* of what is kept */
};

/* What a BATCHNORM node's steps read. */
struct fx_norm_op {
    const struct fx_stats *stats; /* borrowed from another node's state; NULL in evaluation */
    const struct fx_mask *mask;   /* likewise, of the dropout applied with it; NULL: none */
};

/* What the program keeps for each node. */
struct fx_node_state {
    struct fx_view value;      /* buffer -1: not kept, or only for a moment */
    struct fx_view gradient;   /* of vectors, outputs and wanted inputs */
    bool is_vector, is_output; /* output: nothing reads it */
    struct fx_conv_op conv;
    struct fx_view pooled; /* of a convolution done behind its pool: the pooled input */
    struct fx_norm_op norm;
    struct fx_stats stats; /* of the node's value */
    struct fx_mask mask;
};

struct fx_program {
    struct fx_model *model;  /* borrowed */
    struct fx_program *next; /* owned: the model's list */
    enum fx_mode mode;
    int n;
    struct fx_plan plan;
    struct fx_steps lanes[FX_MAX_LANES_OF_GRAPH];
    struct fx_node_state *nodes; /* owned; one for each node of the graph */
    size_t workspace_bytes;
    struct fx_batch batch; /* borrowed parts: valid until the step's last slot */
};

/* fx_program_node: shorthands of the step functions. */
static inline const struct fx_node *fx_step_node(const struct fx_step *step,
                                                 const struct fx_run *run)
{
    return &run->program->model->graph->nodes[step->node];
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
void fx_cpu_program_bind(struct fx_program *program); /* once the arena is there */
void fx_cpu_profile_print(struct fx_program *program, FILE *out);

#endif
