/* Private to lib/backend/ref: what stands behind a device, a model and a program.
 *
 * Every value has its own memory in the activation arena, canonical order (N, T, C, H, W), and in
 * training so has its gradient; nothing is shared or recomputed, so every value can be looked at.
 * All programs of a model use the same arena from its start. */
#ifndef FX_BACKEND_REF_MODEL_INTERNAL_H
#define FX_BACKEND_REF_MODEL_INTERNAL_H

#include "backend/backend.h"
#include "backend/host/step.h"

struct fx_device {
    struct fx_device_options options;
};

struct fx_model {
    struct fx_host_step step;
    struct fx_device *device;     /* borrowed: outlives the model */
    const struct fx_graph *graph; /* borrowed */
    bool *is_output;              /* owned; for each node: its gradient comes from outside */
    struct fx_program *programs;  /* owned; a list */
    size_t activation_bytes, workspace_bytes; /* of the largest program */
    struct fx_arena activations, workspace;
};

/* Where a node's memory lies in the activation arena, in bytes. */
struct fx_ref_offsets {
    size_t value;
    size_t gradient;   /* FX_REF_NONE: not computed */
    size_t statistics; /* BATCHNORM: mean (C), var (C) in double */
};
#define FX_REF_NONE ((size_t)-1)

struct fx_program {
    struct fx_model *model;  /* borrowed: owns this program */
    struct fx_program *next; /* in the model's list */
    enum fx_mode mode;
    int n;                          /* images */
    struct fx_ref_offsets *offsets; /* owned; one a node */
    struct fx_batch
        batch; /* the last input; its pointers are borrowed until the step's last call */
};

/* A node's memory during a run: NULL where there is none. */
float *fx_ref_value(const struct fx_program *program, int node);
float *fx_ref_gradient(const struct fx_program *program, int node);
double *fx_ref_statistics(const struct fx_program *program, int node);

/* ---- functions of the back-end table (backend.h) ---- */

enum fx_status fx_ref_device_open(struct fx_device **device,
                                  const struct fx_device_options *options, struct fx_err *err);
void fx_ref_device_close(struct fx_device *device);
enum fx_status fx_ref_model_create(struct fx_model **model, struct fx_device *device,
                                   const struct fx_graph *graph, bool trains, struct fx_err *err);
void fx_ref_model_destroy(struct fx_model *model);
void fx_ref_model_memory(const struct fx_model *model, struct fx_memory *memory);
enum fx_status fx_ref_model_allocate(struct fx_model *model, struct fx_err *err);
enum fx_status fx_ref_program_create(struct fx_program **program, struct fx_model *model,
                                     enum fx_mode mode, int n, struct fx_err *err);

#endif
