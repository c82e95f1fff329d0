/* What a graph is on a CUDA device: the steps of backend/lower, launched for equal lanes together.
 *
 * Flow: lower.h writes the steps of each lane -> lane_batch.h finds lanes with equal steps ->
 * compile (cuda_compile.c) plans their convolutions and products -> passes.h launches the steps of
 * a batch of lanes, records the launches as a CUDA graph, and replays it.
 *
 * Layout: maps are NHWC with blocks of FX_K_BLOCK channels, in f32 or bf16; everything else is f32.
 * Every lane has a region of the activation arena, so a step of one lane and the distance to the
 * next region describe the launch for all. */
#ifndef FX_BACKEND_CUDA_CUDA_PROGRAM_H
#define FX_BACKEND_CUDA_CUDA_PROGRAM_H

#include "backend/cuda/batch_block.h"
#include "backend/cuda/cuda_error.h"
#include "backend/cuda/cudnn_plan.h"
#include "backend/cuda/device_store.h"
#include "backend/cuda/gemm.h"
#include "backend/cuda/resident.h"
#include "backend/lower/lower.h"
#include "kernels/kernels.h"

/* Two queues of work: the steps in their order, and beside them the gradients of convolutions'
 * weights (aside.h).  Each has side streams, on which convolutions of lanes and groups run side by
 * side. */
enum fx_cuda_queue { FX_CUDA_MAIN, FX_CUDA_ASIDE, FX_CUDA_QUEUES };
enum { FX_CUDA_SIDE_STREAMS = 4, FX_CUDA_ALL_SIDES = FX_CUDA_QUEUES * FX_CUDA_SIDE_STREAMS };
enum { FX_CUDA_ASIDE_EVENTS = 4 };

struct fx_device {
    struct fx_device_options options;
    bool bf16;
    bool records;                          /* CUDA graphs are used (FUSION_CUDA_GRAPHS) */
    bool has_aside;                        /* FX_CUDA_ASIDE is used (FUSION_CUDA_ASIDE) */
    cudaStream_t main;                     /* owned, as all below */
    cudaStream_t aside;                    /* forked from main and joined to it */
    cudaStream_t sides[FX_CUDA_ALL_SIDES]; /* likewise, of main and then of aside */
    cudaEvent_t fork[FX_CUDA_QUEUES], join[FX_CUDA_ALL_SIDES];
    cudaEvent_t aside_fork, aside_done[FX_CUDA_ASIDE_EVENTS];
    struct fx_cudnn *cudnn;
    struct fx_gemm *gemm;
    struct fx_resident *resident; /* the training images, NULL before dataset_load */
};

/* Lanes first .. first + n - 1 are equal but for their addresses, which lie at constant distances.
 */
struct fx_lane_batch {
    int first, n;
    size_t arena_bytes;                /* between the regions of two lanes; 0 if n is 1 */
    size_t trained_lane, running_lane; /* floats between a parameter and that of the next lane */
};

/* The compiled form of a step: which members are used depends on its kind. */
struct fx_cuda_op {
    const struct fx_cudnn_plan *conv; /* borrowed from the device's library */
    struct fx_gemm_plan *product;     /* owned: of values, or of their gradients */
    struct fx_gemm_plan *weights[2];  /* owned: of a weight's gradient, = and += */
    size_t side_bytes;                /* workspace of each side stream */
    int after;                        /* the work aside that has to be done first, see aside.h */
};

/* A sequence of passes that was recorded. */
struct fx_recording {
    unsigned passes;
    int n_runs; /* the first run is launched as it is: it loads what is loaded at first use */
    cudaGraphExec_t exec;
};
enum { FX_MAX_RECORDINGS = 16 };

struct fx_program {
    struct fx_model *model;  /* borrowed */
    struct fx_program *next; /* owned: the model's list */
    struct fx_lowered lowered;
    size_t base[FX_MAX_LANES_OF_GRAPH], size[FX_MAX_LANES_OF_GRAPH]; /* regions in the arena */
    struct fx_lane_batch batches[FX_MAX_LANES_OF_GRAPH]; /* of experts' lanes; then the head's */
    int n_batches;                                       /* without the head's */
    struct fx_cuda_op *ops[FX_MAX_LANES_OF_GRAPH]; /* owned; by lane and step; of the first lane of
                                                      each batch */
    struct fx_k_running *running; /* owned, device memory: the BATCHNORM nodes, in training */
    int n_running;
    struct fx_recording recordings[FX_MAX_RECORDINGS];
    int n_recordings;
    cudaEvent_t *marks[FX_MAX_LANES_OF_GRAPH]; /* owned; NULL: not profiled (cuda_profile.c) */
};

/* What the host writes for the device before a step, in page-locked memory, and reads behind it. */
struct fx_mailbox {
    void *batch[2]; /* owned: blocks of batch_block.h, used in turn */
    float *pixels[2];
    cudaEvent_t taken[2]; /* the block was copied to the device */
    int turn;
    struct fx_step_letters {
        struct fx_k_update *update; /* owned, as all below */
        struct fx_k_result *result;
        struct fx_k_losses *losses;
        cudaEvent_t done; /* the last two are there */
        int n_forwards;
    } steps[2];               /* of the two steps that may be under way, used in turn */
    struct fx_k_losses *sums; /* of losses_read */
};

struct fx_model {
    struct fx_device *device;     /* borrowed */
    const struct fx_graph *graph; /* borrowed */
    bool trains;
    int n_max; /* images of the largest program */
    struct fx_device_store store;
    struct fx_program *programs; /* owned list */
    size_t activation_bytes, workspace_bytes[FX_CUDA_QUEUES];
    bool is_allocated;
    struct fx_mailbox mailbox;
    /* device memory, owned: */
    char *activations, *workspace[FX_CUDA_QUEUES];
    void *batch; /* a block of batch_block.h */
    float *pixels;
    uint8_t *augmented;
    struct fx_k_losses *losses;
    int *not_finite; /* set by a running statistic that is not */
    struct fx_k_update *update;
    struct fx_k_result *result;
    /* what was asked for and not yet launched: */
    struct fx_program *pending;
    unsigned passes;
    bool has_new_batch; /* the mailbox's block differs from the device's */
    bool has_new_pixels;
    bool has_new_losses;        /* the mailbox's sums lack what was launched last */
    bool starts_step;           /* losses and guards are to be cleared first */
    int n_forwards;             /* training forward passes since the last update */
    int64_t n_updates, n_ended; /* steps whose update is launched, and those that are over */
};

/* One launch of a batch of lanes. */
struct fx_cuda_run {
    const struct fx_program *program;
    const struct fx_lane_batch *batch;
    enum fx_cuda_queue queue; /* whose side streams and workspace the step uses */
    struct fx_k_launch launch;
    struct fx_k_batch_view images; /* the batch's block on the device */
    bool accumulate;               /* gradients of parameters: += */
};

/* ---- addresses, for lane 0 of the run (cuda_places.c) ---- */

struct fx_k_map fx_cuda_map(const struct fx_cuda_run *run, const struct fx_view *view);
/* The value or gradient of a node that is a vector; data NULL: it has none. */
struct fx_k_array fx_cuda_vector(const struct fx_cuda_run *run, int node, bool gradient);
struct fx_k_grad fx_cuda_vector_grad(const struct fx_cuda_run *run, int node, bool add);
struct fx_k_array fx_cuda_param(const struct fx_cuda_run *run, int param, enum fx_tensor_role role);
struct fx_k_grad fx_cuda_param_grad(const struct fx_cuda_run *run, int param);
/* A convolution's weight in the type of maps. */
void *fx_cuda_weight(const struct fx_cuda_run *run, int param);
/* The dropout of a DROPOUT or ATTENTION node; p is 0 in evaluation. */
struct fx_k_drop fx_cuda_drop(const struct fx_cuda_run *run, int node);
/* Bytes of a value of a map. */
size_t fx_cuda_value_bytes(const struct fx_device *device);
/* Pixels of a map in the whole batch. */
int fx_cuda_rows(const struct fx_cuda_run *run, const struct fx_view *view);
/* The queue's workspace from byte `offset`, which is rounded up to 256. */
void *fx_cuda_workspace(const struct fx_cuda_run *run, size_t offset);

/* ---- steps ---- */

/* Compiles a step for a batch of lanes and says how much workspace it needs. */
typedef enum fx_status fx_cuda_compile_fn(const struct fx_cuda_run *run, const struct fx_step *step,
                                          struct fx_cuda_op *op, size_t *workspace,
                                          struct fx_err *err);
/* Launches it. */
typedef enum fx_status fx_cuda_launch_fn(const struct fx_cuda_run *run, const struct fx_step *step,
                                         const struct fx_cuda_op *op, struct fx_err *err);

struct fx_cuda_step_kind {
    fx_cuda_compile_fn *compile; /* NULL: nothing to compile, no workspace */
    fx_cuda_launch_fn *launch;
};

extern const struct fx_cuda_step_kind fx_cuda_conv_forward, fx_cuda_conv_data, fx_cuda_conv_weights;
extern const struct fx_cuda_step_kind fx_cuda_norm_stats, fx_cuda_norm_apply, fx_cuda_norm_back,
    fx_cuda_norm_gather, fx_cuda_norm_settle;
extern const struct fx_cuda_step_kind fx_cuda_copy_out, fx_cuda_copy_in, fx_cuda_add,
    fx_cuda_relu_back, fx_cuda_add_into, fx_cuda_drop_map, fx_cuda_avgpool, fx_cuda_avgpool_back,
    fx_cuda_globalpool, fx_cuda_globalpool_back;
extern const struct fx_cuda_step_kind fx_cuda_vector_forward, fx_cuda_vector_backward;

/* fx_cuda_compile: batches of lanes, ops and workspace of a lowered and placed program. */
enum fx_status fx_cuda_compile(struct fx_program *program, struct fx_err *err) FX_MUST_CHECK;
void fx_cuda_ops_fini(struct fx_program *program);

/* fx_cuda_launch_steps: the forward or the backward pass, on the main stream. */
enum fx_status fx_cuda_launch_steps(const struct fx_program *program, bool is_backward,
                                    bool accumulate, struct fx_err *err) FX_MUST_CHECK;

/* ---- profile (cuda_profile.c) ---- */

/* Records the time before step i of a pass of a batch of lanes; i is also the number behind the
 * last one.  Does nothing in a program that is not profiled. */
enum fx_status fx_cuda_mark(const struct fx_program *program, const struct fx_lane_batch *batch,
                            int i, bool is_backward, struct fx_err *err) FX_MUST_CHECK;
void fx_cuda_marks_fini(struct fx_program *program);
/* The first call begins to profile, without graphs; later ones print what came since. */
void fx_cuda_profile_print(struct fx_program *program, FILE *out);

/* ---- private slots, in files of their own ---- */

enum fx_status fx_cuda_device_open(struct fx_device **device,
                                   const struct fx_device_options *options, struct fx_err *err);
void fx_cuda_device_close(struct fx_device *device);
enum fx_status fx_cuda_memory_left(struct fx_device *device, size_t *n_bytes, struct fx_err *err);
enum fx_status fx_cuda_model_create(struct fx_model **model, struct fx_device *device,
                                    const struct fx_graph *graph, bool trains, struct fx_err *err);
void fx_cuda_model_destroy(struct fx_model *model);
void fx_cuda_model_memory(const struct fx_model *model, struct fx_memory *memory);
enum fx_status fx_cuda_model_allocate(struct fx_model *model, struct fx_err *err);
enum fx_status fx_cuda_program_create(struct fx_program **program, struct fx_model *model,
                                      enum fx_mode mode, int n, struct fx_err *err);
void fx_cuda_program_destroy(struct fx_program *program);

#endif
