/* Private to the cuDNN door: the library for one device, its plans, and their entries in the cache.
 */
#ifndef FX_BACKEND_CUDA_VENDOR_CUDNN_LIBRARY_INTERNAL_H
#define FX_BACKEND_CUDA_VENDOR_CUDNN_LIBRARY_INTERNAL_H

#include "backend/cuda/plan_cache.h"
#include "backend/cuda/vendor/cudnn_engine_internal.h"

enum { FX_CUDNN_TEXT_BYTES = 192 };

struct fx_cudnn {
    cudnnHandle_t *handles; /* owned: one for each stream, which it enqueues on */
    int n_handles;          /* 0: a described device */
    cudaStream_t stream;    /* borrowed: that of the first handle */
    struct fx_descriptors description;
    cudnnBackendDescriptor_t device; /* in description */
    size_t workspace_limit;
    bool tunes; /* plans that are not in the cache are timed */
    struct fx_plan_cache cache;
    struct fx_cudnn_plan **plans; /* owned */
    int n_plans, cap_plans;
};

struct fx_cudnn_plan {
    const struct fx_cudnn *cudnn;   /* borrowed */
    char name[FX_CUDNN_TEXT_BYTES]; /* direction, type and shape */
    struct fx_cudnn_shape shape;
    enum fx_conv_direction direction;
    struct fx_descriptors set; /* the graph, then the engine */
    cudnnBackendDescriptor_t graph;
    int n_graph; /* descriptors of the graph */
    struct fx_cudnn_choice choice;
    struct fx_cudnn_engine engine;
    enum fx_cudnn_origin origin;
    char knobs[FX_CUDNN_TEXT_BYTES], notes[FX_CUDNN_TEXT_BYTES];
};

/* fx_cudnn_choice_find: what the cache has for a plan; false: nothing. */
bool fx_cudnn_choice_find(struct fx_cudnn_choice *choice, const struct fx_plan_cache *cache,
                          const char *plan);
void fx_cudnn_choice_add(const struct fx_cudnn_choice *choice, struct fx_plan_cache *cache,
                         const char *plan);

/* fx_cudnn_fit: makes the choice the plan's engine; false, and why in plan->set.why, if it is not
 * fit to use or lacks a wanted numerical note. */
bool fx_cudnn_fit(struct fx_cudnn_plan *plan, const struct fx_cudnn_choice *choice,
                  unsigned wanted);

/* fx_cudnn_execute: enqueues the plan's engine on the handle's stream. */
cudnnStatus_t fx_cudnn_execute(const struct fx_cudnn_plan *plan, cudnnHandle_t handle, void *x,
                               void *w, void *y, void *workspace);

/* fx_cudnn_fastest: which of the first few fitting choices runs fastest on the device, -1 when
 * none could be timed. */
int fx_cudnn_fastest(struct fx_cudnn_plan *plan, const struct fx_cudnn_choices *choices,
                     unsigned wanted);

#endif
