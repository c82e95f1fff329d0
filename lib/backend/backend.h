/* Back ends: a graph is compiled into programs, and a training step is run as one unit.
 *
 * Life of a run:
 *     fx_backend_find -> device_open -> model_create(graph) -> program_create (train, last partial
 *     batch, eval) -> model_memory (the plan, nothing large allocated yet) -> model_allocate ->
 *     tensor_write (initial values) -> [ step_begin, input, forward, loss, backward, update,
 *     step_end ] ... -> tensor_read
 *
 * All programs of a model share its parameters and one activation arena and one workspace, each as
 * large as the largest program needs.  After model_allocate nothing allocates.
 *
 * The calls of a step only enqueue on a device that has queues; `step_end` and `losses_read` are
 * where the host waits.  A back end may record input..update once and replay it (CUDA graph):
 * nothing that a call decides depends on values computed on the device, and everything that changes
 * from step to step arrives in struct fx_batch and struct fx_update.  Where it runs_ahead the next
 * step may be enqueued, up to and with its update, before step_end of this one: the device then
 * goes on while the host looks at results.  At most two steps are in flight.
 *
 * Commit: parameters, optimizer state, running statistics and counters change in `update` and
 * nowhere else; until it is called a step can be abandoned without a trace. */
#ifndef FX_BACKEND_BACKEND_H
#define FX_BACKEND_BACKEND_H

#include "data/augment.h"
#include "net/graph.h"
#include "ops/loss.h"
#include "ops/optimizer.h"

#include <stdio.h>

struct fx_device;  /* back end's own: vendor handles, worker threads */
struct fx_model;   /* back end's own: graph, parameter store, arenas */
struct fx_program; /* back end's own: one compiled graph for one mode and batch size */

#define FX_PRECISIONS "fp32|bf16|auto"
/* AUTO is for options: fx_choose_precision, or what a run has begun with, takes its place. */
enum fx_precision { FX_PRECISION_FP32, FX_PRECISION_BF16, FX_PRECISION_AUTO };
enum fx_mode { FX_TRAIN, FX_EVAL };

struct fx_device_options {
    int ordinal;   /* cuda:N */
    int n_threads; /* CPU threads, at least 1 */
    enum fx_precision precision;
    /* Polled between nodes, by any thread; true abandons the call with FX_ESTOPPED.  NULL: never.
     */
    bool (*should_stop)(void);
};

/* The requested device, and what device_find found. */
enum { FX_DEVICE_TEXT_BYTES = 320 };
struct fx_device_place {
    int ordinal;   /* in: the number asked for; out: that of the device */
    bool wraps;    /* in: the ordinal is taken modulo the number of usable devices */
    bool is_there; /* out: there is a device, if only one that cannot be used */
    char text[FX_DEVICE_TEXT_BYTES]; /* out: "NVIDIA H200, 140 GiB" */
};

/* Planned bytes by role, before anything is allocated. */
struct fx_memory {
    size_t parameters; /* masters, running statistics and packed or low-precision copies */
    size_t gradients;
    size_t optimizer;   /* exp_avg, exp_avg_sq and averages */
    size_t activations; /* values and their gradients, of the largest program */
    size_t workspace;   /* scratch of the primitives */
};

/* What the store keeps for a trained parameter; of a running statistic the value and, in a graph
 * that averages, the average. */
enum fx_tensor_role {
    FX_ROLE_VALUE,
    FX_ROLE_GRAD,
    FX_ROLE_EXP_AVG,
    FX_ROLE_EXP_AVG_SQ,
    FX_ROLE_AVERAGE,
    FX_N_ROLES
};

/* One batch; borrowed during `input` and until the step's last call.  n equals the program's batch.
 */
struct fx_batch {
    int n;
    const float *pixels; /* f32 (n, 3, 32, 32): finished input (fx_augment_batch); may be NULL
                            for a back end that `applies_rows` and has the data set, and in
                            operator tests, which fill INPUT nodes by value_write */
    const struct fx_augment_row *rows; /* n rows, NULL in evaluation */
    const struct fx_mix *mix;          /* NULL: none */
    const uint32_t *partner;           /* n positions, NULL: none */
    const uint32_t *numbers;           /* n image numbers in the data set: dropout's counter word */
    const uint8_t *labels;             /* n fine labels */
    uint64_t seed;                     /* dropout */
    uint32_t epoch;                    /* dropout; from 1 */
};

/* What a batch should be classified as. */
static inline struct fx_targets fx_batch_targets(const struct fx_batch *batch)
{
    bool is_mixed = batch->mix && batch->partner;

    return (struct fx_targets){ .labels = batch->labels,
                                .partner = is_mixed ? batch->partner : NULL,
                                .lam = is_mixed ? batch->mix->lam : 1.0f };
}

/* The results of a step. */
struct fx_step_result {
    double grad_norm; /* before clipping, over all parameters */
    struct fx_losses losses;
};

struct fx_backend {
    const char *name;  /* "ref", "cpu", "cuda" */
    bool applies_rows; /* input works from rows and the resident data set; pixels may be NULL */
    bool runs_ahead;   /* see above */

    /* device_find (optional, NULL: the processor is the device): looks whether the device can be
     * used, with its driver and libraries, and opens nothing.  FX_EDEVICE: it cannot, and why. */
    enum fx_status (*device_find)(struct fx_device_place *place, struct fx_err *err);

    /* prefers_bf16 (optional, NULL: no): whether bf16 is the faster precision on this machine. */
    bool (*prefers_bf16)(void);

    /* device_open: FX_EDEVICE when the machine lacks the device or the precision. */
    enum fx_status (*device_open)(struct fx_device **device,
                                  const struct fx_device_options *options, struct fx_err *err);
    void (*device_close)(struct fx_device *device);

    /* memory_left (optional, NULL: models lie in the host's memory): bytes free on the device. */
    enum fx_status (*memory_left)(struct fx_device *device, size_t *n_bytes, struct fx_err *err);

    /* dataset_load (optional, NULL: nothing to do): makes the train images resident; once. */
    enum fx_status (*dataset_load)(struct fx_device *device, const struct fx_dataset *dataset,
                                   struct fx_err *err);

    /* model_create: the graph is borrowed and outlives the model.  trains = false: no gradients and
     * no optimizer state. */
    enum fx_status (*model_create)(struct fx_model **model, struct fx_device *device,
                                   const struct fx_graph *graph, bool trains, struct fx_err *err);
    void (*model_destroy)(struct fx_model *model); /* also destroys its programs */
    void (*model_memory)(const struct fx_model *model, struct fx_memory *memory);
    /* model_allocate: once, after the last program_create.  Values start at zero. */
    enum fx_status (*model_allocate)(struct fx_model *model, struct fx_err *err);

    /* program_create: compiles for exactly n images.  Owned by the model. */
    enum fx_status (*program_create)(struct fx_program **program, struct fx_model *model,
                                     enum fx_mode mode, int n, struct fx_err *err);

    /* tensor_write, tensor_read: between C-order host memory and the back end's own layout.  f32
     * (n_elements); the counter is one int64.  Roles other than VALUE exist for trained parameters.
     */
    enum fx_status (*tensor_write)(struct fx_model *model, int param, enum fx_tensor_role role,
                                   const void *data, struct fx_err *err);
    enum fx_status (*tensor_read)(struct fx_model *model, int param, enum fx_tensor_role role,
                                  void *data, struct fx_err *err);

    /* averages_swap: exchanges values and averages, so that programs compute with the averages; a
     * second call undoes it.  Only between two steps, in a model that trains a graph that averages.
     */
    enum fx_status (*averages_swap)(struct fx_model *model, struct fx_err *err);

    /* The calls of a step.  forward keeps what backward needs.  In training BATCHNORM normalises
     * with batch statistics and keeps them for update; in evaluation it uses the running ones. */
    enum fx_status (*input)(struct fx_program *program, const struct fx_batch *batch,
                            struct fx_err *err);
    enum fx_status (*forward)(struct fx_program *program, struct fx_err *err);
    /* loss: adds to the losses; in training also writes (=) the gradients of all heads' logits, as
     * d(mean loss)/d(logits). */
    enum fx_status (*loss)(struct fx_program *program, const struct fx_loss_config *config,
                           struct fx_err *err);
    /* backward: from the logits' gradients to the parameters' (= when !accumulate, += otherwise).
     */
    enum fx_status (*backward)(struct fx_program *program, bool accumulate, struct fx_err *err);
    /* update: norm, clip, optimizer, running statistics (one moving-average step for each training
     * forward since step_begin), counters.  FX_EDIVERGED and nothing changed when the norm, the
     * loss since step_begin or a running statistic is not finite.  Once begun it is not abandoned.
     */
    enum fx_status (*update)(struct fx_program *program, const struct fx_update *update,
                             const struct fx_sgd *sgd, struct fx_err *err);
    /* step_end: after every update that returned FX_OK, in their order: waits for it and
     * returns the results.  A back end with queues reports divergence here instead of in update;
     * a step that was already enqueued is then refused as well and has no step_end. */
    enum fx_status (*step_end)(struct fx_model *model, struct fx_step_result *result,
                               struct fx_err *err);

    /* step_begin: forgets the losses and the running statistics gathered by forward passes since
     * the last update.  Called before the first `input` of a step (or of an evaluation). */
    void (*step_begin)(struct fx_model *model);
    enum fx_status (*losses_read)(struct fx_model *model, struct fx_losses *losses,
                                  struct fx_err *err);

    /* value_read, value_write: a node's value (or gradient) for tests and for logits; f32 canonical
     * order (N, T, C, H, W).  Only inputs, features, logits and values of single-node test graphs
     * are guaranteed to be kept; FX_EUSAGE for a value the plan does not keep. */
    enum fx_status (*value_read)(struct fx_program *program, int node, bool gradient, float *data,
                                 struct fx_err *err);
    enum fx_status (*value_write)(struct fx_program *program, int node, bool gradient,
                                  const float *data, struct fx_err *err);

    /* profile_print (optional, NULL: none), for tuning: time by kind of instruction since the
     * last call, a line each; forgets it. */
    void (*profile_print)(struct fx_program *program, FILE *out);
};

/* fx_backend_find: by device text: "ref", "cpu", "cuda", "cuda:1".  FX_EUSAGE for an unknown name,
 * FX_EDEVICE for one this build does not have.  Fills options->ordinal. */
enum fx_status fx_backend_find(const struct fx_backend **backend, const char *device,
                               struct fx_device_options *options, struct fx_err *err) FX_MUST_CHECK;

/* "ref cpu": what this build has, for --version. */
const char *fx_backend_names(void);

/* The tables of the back ends a build may have; only the registry and their own files use them. */

extern const struct fx_backend fx_backend_ref;
extern const struct fx_backend fx_backend_cpu;  /* FX_HAVE_DNNL */
extern const struct fx_backend fx_backend_cuda; /* FX_HAVE_CUDA */

/* The device a run computes on: the one that was named, or the best that build and machine have. */

enum { FX_CHOICE_WHY_BYTES = FX_ERR_MSG_BYTES + 80 };
struct fx_choice {
    const struct fx_backend *backend; /* static */
    int ordinal;
    char device[16];               /* "cpu", "ref", "cuda:1" */
    char why[FX_CHOICE_WHY_BYTES]; /* the GPU's description, or why no GPU; "": cpu, ref by name */
    bool warns;                    /* the log should warn: another device may have been expected */
};

/* fx_choose: the device by its text.
 *   auto, auto:N              GPU N (0) of the usable ones, modulo their number; without one, cpu;
 *                             in a build without cpu, ref
 *   cuda, cuda:N, cuda:auto:N a GPU; the last form counts as auto:N
 *   cpu, ref
 * FX_EUSAGE: no such text.  FX_EDEVICE: the device that was named is not there or cannot be used,
 * and why; auto always finds one. */
enum fx_status fx_choose(struct fx_choice *choice, const char *device,
                         struct fx_err *err) FX_MUST_CHECK;

/* fx_choose_precision: puts in the place of AUTO what the device, by its text, is faster in; any
 * other precision stays.  Fails as fx_choose. */
enum fx_status fx_choose_precision(enum fx_precision *precision, const char *device,
                                   struct fx_err *err) FX_MUST_CHECK;

#endif
