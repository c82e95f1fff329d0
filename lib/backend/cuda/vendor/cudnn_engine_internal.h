/* Private to the cuDNN door: sets of cuDNN's descriptors, the objects its graph API is made of.
 *
 * A set owns every descriptor begun in it.  Failure is sticky: after the first one every call does
 * nothing, so that a graph reads as a drawing; `status` is looked at once, at the end. */
#ifndef FX_BACKEND_CUDA_VENDOR_CUDNN_ENGINE_INTERNAL_H
#define FX_BACKEND_CUDA_VENDOR_CUDNN_ENGINE_INTERNAL_H

#include "backend/cuda/vendor/cudnn_api_internal.h"
#include "backend/cuda/vendor/cudnn_plan.h"

#include <stdint.h>

enum { FX_DESCRIPTORS_WHY_BYTES = 256 };

/* Zeroed: empty. */
struct fx_descriptors {
    cudnnBackendDescriptor_t *items; /* owned, and what they refer to */
    int n, cap;
    cudnnStatus_t status;               /* of the first failure */
    char why[FX_DESCRIPTORS_WHY_BYTES]; /* cuDNN's words for it, one line */
};

/* fx_descriptors_cut: destroys all but the first n, and forgets a failure. */
void fx_descriptors_cut(struct fx_descriptors *set, int n);
void fx_descriptors_fini(struct fx_descriptors *set);

/* fx_descriptor_begin: a new descriptor, to be given attributes and then ended; NULL after a
 * failure. */
cudnnBackendDescriptor_t fx_descriptor_begin(struct fx_descriptors *set,
                                             cudnnBackendDescriptorType_t type);
void fx_descriptor_end(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor);

/* Setting attributes: n values of the type that `type` names; one integer; one other descriptor. */
void fx_descriptor_put(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor,
                       cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                       int64_t n, const void *values);
void fx_descriptor_put_integer(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor,
                               cudnnBackendAttributeName_t name, int64_t value);
void fx_descriptor_put_other(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor,
                             cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t other);

/* fx_descriptor_get: up to max values of an attribute; returns how many were written, or with a max
 * of 0 how many there are; 0 after a failure.  Descriptors are copied into ones that were begun
 * before. */
int64_t fx_descriptor_get(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor,
                          cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                          int64_t max, void *values);

/* Private to the cuDNN door: a convolution as an operation graph, and the engines that run it.
 *
 *     shape -> operation graph -> choices, best first -> an engine that is fit to use */

/* The three tensors of a graph, by the unique numbers that a run names them by. */
enum { FX_CUDNN_X = 'x', FX_CUDNN_W = 'w', FX_CUDNN_Y = 'y' };

/* fx_cudnn_graph: the operation graph of one convolution, in the set. */
cudnnBackendDescriptor_t fx_cudnn_graph(struct fx_descriptors *set,
                                        const struct fx_cudnn_shape *shape,
                                        enum fx_conv_direction direction);

/* An engine and how its knobs are set: all that a plan is made from, apart from its graph.  Knobs
 * that are not listed stand where the engine puts them. */
struct fx_cudnn_knob {
    int type; /* cudnnBackendKnobType_t */
    int64_t value;
};
struct fx_cudnn_choice {
    int engine;
    int n_knobs;
    struct fx_cudnn_knob knobs[CUDNN_KNOB_TYPE_COUNTS];
};

struct fx_cudnn_choices {
    struct fx_cudnn_choice *items; /* owned (free) */
    int n;
    char why[FX_DESCRIPTORS_WHY_BYTES]; /* cuDNN's words for finding none */
};

/* fx_cudnn_propose: adds what cuDNN's heuristic proposes for a graph on a device, best first; to
 * find nothing is no failure. */
enum fx_status fx_cudnn_propose(struct fx_cudnn_choices *choices, cudnnBackendDescriptor_t graph,
                                cudnnBackendDescriptor_t device, cudnnBackendHeurMode_t mode,
                                struct fx_err *err) FX_MUST_CHECK;

/* A choice that was made executable. */
struct fx_cudnn_engine {
    cudnnBackendDescriptor_t plan; /* in the set */
    int64_t workspace_bytes;
    unsigned numerical; /* bits 1 << cudnnBackendNumericalNote_t */
    unsigned behavior;  /* bits 1 << cudnnBackendBehaviorNote_t */
};

/* What an engine must be like to be fit to use. */
struct fx_cudnn_terms {
    unsigned refused, wanted; /* numerical notes: none of these, all of those */
    size_t workspace_limit;
};

/* fx_cudnn_engine_build: finalises a choice for a graph on a device, in the set, if it is fit.
 * Whether that went well; if not, set->why says what was wrong and fx_descriptors_cut clears it
 * away. */
bool fx_cudnn_engine_build(struct fx_cudnn_engine *engine, struct fx_descriptors *set,
                           cudnnBackendDescriptor_t graph, cudnnBackendDescriptor_t device,
                           const struct fx_cudnn_choice *choice,
                           const struct fx_cudnn_terms *terms);

/* Texts for tables: "2=57 12=1", "tensor-core winograd". */
void fx_cudnn_print_knobs(char *text, size_t n, const struct fx_cudnn_choice *choice);
void fx_cudnn_print_notes(char *text, size_t n, const struct fx_cudnn_engine *engine);

#endif
