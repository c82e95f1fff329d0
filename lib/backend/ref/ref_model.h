/* Private to lib/backend/ref: what stands behind a device, a model and a program.
 *
 * Every value has its own place in the activation arena, canonical order (N, T, C, H, W), and in
 * training so has its gradient; nothing is shared or recomputed, so every value can be looked at.
 * All programs of a model use the same arena from its start. */
#ifndef FX_BACKEND_REF_MODEL_H
#define FX_BACKEND_REF_MODEL_H

#include "backend/backend.h"
#include "backend/host/store.h"

struct fx_device {
    struct fx_device_options options;
};

struct fx_model {
    struct fx_device *device;     /* borrowed: outlives the model */
    const struct fx_graph *graph; /* borrowed */
    bool *has_user;               /* owned; for each node: another node reads it */
    struct fx_store store;
    struct fx_losses losses;                  /* since step_begin */
    struct fx_step_result result;             /* of the last update */
    struct fx_program *programs;              /* owned; a list */
    size_t activation_bytes, workspace_bytes; /* of the largest program */
    struct fx_arena activations, workspace;
};

/* Where a node's memory lies in the activation arena, in bytes. */
struct fx_ref_place {
    size_t value;
    size_t gradient;   /* FX_REF_NONE: not computed */
    size_t statistics; /* BATCHNORM: mean (C), var (C) in double */
};
#define FX_REF_NONE ((size_t)-1)

struct fx_program {
    struct fx_model *model;  /* borrowed: owns this program */
    struct fx_program *next; /* in the model's list */
    enum fx_mode mode;
    int n;                       /* images */
    struct fx_ref_place *places; /* owned; one a node */
    struct fx_batch batch;       /* the last input; its pointers are borrowed until the last slot */
};

/* A node's memory during a run: NULL where there is none. */
float *fx_ref_value(const struct fx_program *program, int node);
float *fx_ref_gradient(const struct fx_program *program, int node);
double *fx_ref_statistics(const struct fx_program *program, int node);

/* fx_ref_forward_node: the node's value from its inputs' values.
 * fx_ref_backward_node: adds to the gradients of its inputs and parameters. */
void fx_ref_forward_node(struct fx_program *program, int node);
void fx_ref_backward_node(struct fx_program *program, int node);

/* The numbers of a node's kernel, shared by the two directions. */
struct fx_conv2d;
struct fx_batchnorm;
struct fx_linear;
struct fx_layernorm;
struct fx_attention;
struct fx_dropout;
struct fx_conv2d fx_ref_conv2d_of(const struct fx_program *program, const struct fx_node *node);
struct fx_batchnorm fx_ref_batchnorm_of(const struct fx_program *program,
                                        const struct fx_node *node);
struct fx_linear fx_ref_linear_of(const struct fx_program *program, const struct fx_node *node);
struct fx_layernorm fx_ref_layernorm_of(const struct fx_program *program,
                                        const struct fx_node *node);
/* dropout: filled and pointed to when the program trains and the node drops. */
struct fx_attention fx_ref_attention_of(const struct fx_program *program,
                                        const struct fx_node *node, struct fx_dropout *dropout);

#endif
