/* The records of the cuda back end: device, model, program; and what is known of an instruction.
 *
 * Flow: backend/lower writes the instructions of each lane -> compile.c finds lanes with equal
 * instructions, has their convolutions and products planned by the libraries (vendor/), and finds
 * what runs on the second stream -> launch.c launches the instructions of a batch of lanes ->
 * graph_capture.c records the launches of a step as a CUDA graph and replays it.
 *
 * Layout: maps are NHWC with blocks of FX_K_BLOCK channels, in f32 or bf16; everything else is f32.
 * Every lane has a region of the activation arena, so an instruction of one lane and the distance
 * to the next region describe the launch for all. */
#ifndef FX_BACKEND_CUDA_CUDA_INTERNAL_H
#define FX_BACKEND_CUDA_CUDA_INTERNAL_H

#include "backend/cuda/input_internal.h"
#include "backend/cuda/error_internal.h"
#include "backend/cuda/vendor/cudnn_plan.h"
#include "backend/cuda/store_internal.h"
#include "backend/cuda/vendor/gemm.h"
#include "backend/lower/lower.h"
#include "kernels/kernels.h"

/* Two queues of work: the instructions in their order, and beside them the gradients of
 * convolutions' weights (wgrad_stream_internal.h).  Each has side streams, on which convolutions of
 * lanes and groups run side by side. */
enum fx_cuda_queue { FX_CUDA_MAIN, FX_CUDA_WGRAD, FX_CUDA_QUEUES };
enum { FX_CUDA_SIDE_STREAMS = 4, FX_CUDA_ALL_SIDES = FX_CUDA_QUEUES * FX_CUDA_SIDE_STREAMS };
enum { FX_CUDA_WGRAD_EVENTS = 4 };

struct fx_device {
    struct fx_device_options options;
    bool bf16;
    int n_processors;                      /* multiprocessors */
    bool uses_graphs;                      /* (FUSION_CUDA_GRAPHS) */
    bool cuts_sums;                        /* parts.h (FUSION_CUDA_PARTS) */
    bool has_wgrad_stream;                 /* FX_CUDA_WGRAD is used (FUSION_CUDA_WGRAD_STREAM) */
    cudaStream_t main;                     /* owned, as all below */
    cudaStream_t wgrad;                    /* forked from main and joined to it */
    cudaStream_t sides[FX_CUDA_ALL_SIDES]; /* likewise, of main and then of wgrad */
    cudaEvent_t fork[FX_CUDA_QUEUES], join[FX_CUDA_ALL_SIDES];
    cudaEvent_t wgrad_fork, wgrad_done[FX_CUDA_WGRAD_EVENTS];
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

/* The compiled form of an instruction: which members are used depends on its kind. */
struct fx_compiled {
    const struct fx_cudnn_plan *conv; /* borrowed from the device's library; NULL: a product */
    struct fx_gemm_plan *product;     /* owned: of values, or of their gradients, or of parts */
    struct fx_gemm_plan *weights[2];  /* owned: of a weight's gradient, = and += */
    int n_parts;                      /* of the pixels (parts.h); 0: `weights` are used */
    size_t side_bytes;                /* workspace of each side stream */
    int after; /* the weight gradient to wait for; 0: none (wgrad_stream_internal.h) */
};

static inline void fx_compiled_clear(struct fx_compiled *compiled)
{
    fx_gemm_plan_destroy(compiled->product);
    fx_gemm_plan_destroy(compiled->weights[0]);
    fx_gemm_plan_destroy(compiled->weights[1]);
    *compiled = (struct fx_compiled){ 0 };
}

/* A sequence of passes captured as a CUDA graph. */
struct fx_capture {
    unsigned passes;
    int n_runs; /* the first run is launched as it is: it loads what is loaded at first use */
    cudaGraphExec_t exec;
};
enum { FX_MAX_CAPTURES = 16 };

struct fx_program {
    struct fx_model *model;  /* borrowed */
    struct fx_program *next; /* owned: the model's list */
    struct fx_lowered lowered;
    bool keeps_norms; /* of training: the results of norms are not computed again */
    size_t base[FX_MAX_LANES_OF_GRAPH], size[FX_MAX_LANES_OF_GRAPH]; /* regions in the arena */
    struct fx_lane_batch batches[FX_MAX_LANES_OF_GRAPH]; /* of experts' lanes; then the head's */
    int n_batches;                                       /* without the head's */
    struct fx_compiled *compiled[FX_MAX_LANES_OF_GRAPH]; /* owned; by lane and instruction; of the
                                                      first lane of each batch */
    struct fx_k_running *running; /* owned, device memory: the BATCHNORM nodes, in training */
    int n_running;
    struct fx_capture captures[FX_MAX_CAPTURES];
    int n_captures;
    cudaEvent_t *marks[FX_MAX_LANES_OF_GRAPH]; /* owned; NULL: not profiled (profile.c) */
};

/* Pinned (page-locked) staging buffers: what the host writes for the device before a step, and
 * reads after it.  Two slots, used alternately, since two steps may be in flight. */
struct fx_staging {
    void *batch[2]; /* owned: blocks of input_internal.h, used alternately */
    float *pixels[2];
    cudaEvent_t copied[2]; /* the block was copied to the device */
    int slot;
    struct fx_step_staging {
        struct fx_k_update *update; /* owned, as all below */
        struct fx_k_result *result;
        struct fx_losses *losses;
        cudaEvent_t done; /* the last two are there */
        int n_forwards;
    } steps[2];             /* of the two steps that may be in flight, used alternately */
    struct fx_losses *sums; /* of losses_read */
};

struct fx_model {
    struct fx_device *device;     /* borrowed */
    const struct fx_graph *graph; /* borrowed */
    bool trains;
    int n_max; /* images of the largest program */
    struct fx_device_store store;
    struct fx_program *programs; /* owned list */
    size_t activation_bytes, workspace_bytes[FX_CUDA_QUEUES], ticket_bytes;
    bool is_allocated;
    struct fx_staging staging;
    /* device memory, owned: */
    char *activations, *workspace[FX_CUDA_QUEUES];
    unsigned *tickets; /* of the main stream (kernels.h): zeros between launches */
    void *batch;       /* a block of input_internal.h */
    float *pixels;
    uint8_t *augmented;
    struct fx_losses *losses;
    int *not_finite; /* set by a running statistic that is not */
    struct fx_k_update *update;
    struct fx_k_result *result;
    /* the launch queue: passes asked for and not yet launched */
    struct fx_program *queued_program;
    unsigned queued;
    bool has_new_batch; /* the staged block differs from the device's */
    bool has_new_pixels;
    bool has_new_losses;        /* the staged sums lack what was launched last */
    bool starts_step;           /* losses and guards are to be cleared first */
    int n_forwards;             /* training forward passes since the last update */
    int64_t n_updates, n_ended; /* steps whose update is launched, and those that are over */
};

/* One launch of a batch of lanes. */
struct fx_cuda_exec {
    const struct fx_program *program;
    const struct fx_lane_batch *batch;
    enum fx_cuda_queue queue; /* whose side streams and workspace the instruction uses */
    struct fx_k_launch launch;
    struct fx_k_batch_view images; /* the batch's block on the device */
    bool accumulate;               /* gradients of parameters: += */
};

/* ---- operands: addresses for lane 0 of a launch (operands.c) ---- */

struct fx_k_map fx_cuda_map(const struct fx_cuda_exec *exec, const struct fx_view *view);
/* The value or gradient of a dense node; data NULL: it has none. */
struct fx_k_array fx_cuda_dense(const struct fx_cuda_exec *exec, int node, bool gradient);
struct fx_k_grad fx_cuda_dense_grad(const struct fx_cuda_exec *exec, int node, bool add);
struct fx_k_array fx_cuda_param(const struct fx_cuda_exec *exec, int param,
                                enum fx_tensor_role role);
struct fx_k_grad fx_cuda_param_grad(const struct fx_cuda_exec *exec, int param);
/* A convolution's weight in the type of maps. */
void *fx_cuda_weight(const struct fx_cuda_exec *exec, int param);
/* The dropout of a DROPOUT or ATTENTION node; p is 0 in evaluation. */
struct fx_k_drop fx_cuda_drop(const struct fx_cuda_exec *exec, int node);
/* The mask of a DROPOUT of maps, in training, for an instruction that draws it or reads it. */
struct fx_k_mask fx_cuda_mask(const struct fx_cuda_exec *exec, int node, bool draws);
/* Bytes of a value of a map. */
size_t fx_cuda_value_bytes(const struct fx_device *device);
/* Pixels of a map in the whole batch. */
int fx_cuda_rows(const struct fx_cuda_exec *exec, const struct fx_view *view);
/* A product of a layer over all lanes, in f32: forward y = x w^T of `rows` rows, data dx = dy w,
 * weights dw = dy^T x; x and y stand for their gradients as well. */
struct fx_gemm_shape fx_cuda_layer_product(const struct fx_cuda_exec *exec,
                                           enum fx_conv_direction direction, int rows, int c_in,
                                           int c_out, struct fx_gemm_matrix x,
                                           struct fx_gemm_matrix y);
/* The queue's workspace from byte `offset`, which is rounded up to 256. */
void *fx_cuda_workspace(const struct fx_cuda_exec *exec, size_t offset);

/* ---- instructions ---- */

/* Compiles an instruction for a batch of lanes and says how much workspace it needs. */
typedef enum fx_status fx_cuda_compile_fn(const struct fx_cuda_exec *exec,
                                          const struct fx_instr *instr,
                                          struct fx_compiled *compiled, size_t *workspace,
                                          struct fx_err *err);
/* Launches it. */
typedef enum fx_status fx_cuda_launch_fn(const struct fx_cuda_exec *exec,
                                         const struct fx_instr *instr,
                                         const struct fx_compiled *compiled, struct fx_err *err);

struct fx_cuda_operator {
    fx_cuda_compile_fn *compile; /* NULL: nothing to compile, no workspace */
    fx_cuda_launch_fn *launch;
};

extern const struct fx_cuda_operator fx_cuda_conv; /* conv.c */
extern const struct fx_cuda_operator fx_cuda_norm_stats, fx_cuda_norm_apply, fx_cuda_norm_back,
    fx_cuda_norm_gather, fx_cuda_norm_settle;                           /* norm.c */
extern const struct fx_cuda_operator fx_cuda_copy_out, fx_cuda_copy_in; /* concat.c */
extern const struct fx_cuda_operator fx_cuda_add, fx_cuda_relu_back, fx_cuda_add_into; /* add.c */
extern const struct fx_cuda_operator fx_cuda_drop_map; /* dropout.c */
extern const struct fx_cuda_operator fx_cuda_avgpool, fx_cuda_avgpool_back, fx_cuda_globalpool,
    fx_cuda_globalpool_back;                                                        /* pool.c */
extern const struct fx_cuda_operator fx_cuda_dense_forward, fx_cuda_dense_backward; /* dense.c */

/* fx_cuda_compile: batches of lanes, compiled and workspace of a lowered and placed program. */
enum fx_status fx_cuda_compile(struct fx_program *program, struct fx_err *err) FX_MUST_CHECK;
void fx_cuda_compiled_fini(struct fx_program *program);

/* fx_cuda_operator_of: how an instruction is compiled and launched. */
const struct fx_cuda_operator *fx_cuda_operator_of(enum fx_opcode op);
/* fx_cuda_exec_of: a launch for a batch of lanes on the main stream. */
struct fx_cuda_exec fx_cuda_exec_of(const struct fx_program *program,
                                    const struct fx_lane_batch *batch);

/* ---- profile (profile.c) ---- */

/* Records the time before instruction i of a pass of a batch of lanes; i is also the number behind
 * the last one.  Does nothing in a program that is not profiled. */
enum fx_status fx_cuda_mark(const struct fx_program *program, const struct fx_lane_batch *batch,
                            int i, bool is_backward, struct fx_err *err) FX_MUST_CHECK;
void fx_cuda_marks_fini(struct fx_program *program);
/* The first call begins to profile, without graphs; later ones print what came since.  The device
 * is idle. */
void fx_cuda_profile_print(struct fx_program *program, FILE *out);

/* ---- functions of the back-end table (backend.h), in model.c and device.c ---- */

/* fx_cuda_find: device_find of backend.h.  Usable is a GPU that the driver shows, for which the
 * kernels were compiled, and that the libraries, which are loaded here, know as well. */
enum fx_status fx_cuda_find(struct fx_device_place *place, struct fx_err *err) FX_MUST_CHECK;

/* fx_cuda_capability: 90 for compute capability 9.0; 0 for a device that is not there. */
int fx_cuda_capability(int ordinal);

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
