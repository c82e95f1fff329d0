/* Private to the cuDNN door: the plans of earlier runs, in one JSON file for all devices.
 *
 *     { "fusion-tools": "cudnn-plans", "version": 1,
 *       "devices": { DEVICE: { PLAN: { "engine": 62, "knobs": [[2, 0], [13, 1]] }, ... }, ... } }
 *
 * DEVICE names everything that decides which engines there are, PLAN the shape and the direction.
 * The file is a cache: it may be missing, damaged or not writable, and nothing fails for it. */
#ifndef FX_BACKEND_CUDA_VENDOR_CUDNN_LIBRARY_INTERNAL_H
#define FX_BACKEND_CUDA_VENDOR_CUDNN_LIBRARY_INTERNAL_H

#include "backend/cuda/vendor/cudnn_engine_internal.h"

#include <jansson.h>

struct fx_cudnn_cache {
    char *path;    /* owned; NULL: there is no place for a cache */
    char *device;  /* owned */
    json_t *known; /* owned: plans of the device in the file */
    json_t *fresh; /* owned: plans that are to be added to it */
};

/* fx_cudnn_cache_open: reads what the file has for a device; a name, copied. */
void fx_cudnn_cache_open(struct fx_cudnn_cache *cache, const char *device);
void fx_cudnn_cache_close(
    struct fx_cudnn_cache *cache); /* accepts a zeroed record; saves nothing */

bool fx_cudnn_cache_find(const struct fx_cudnn_cache *cache, const char *plan,
                         struct fx_cudnn_choice *choice);
void fx_cudnn_cache_add(struct fx_cudnn_cache *cache, const char *plan,
                        const struct fx_cudnn_choice *choice);

/* fx_cudnn_cache_save: adds the fresh plans to what the file holds by now; whoever reads it sees
 * the old or the new one.  Of two runs that save at the same moment one may be forgotten. */
void fx_cudnn_cache_save(struct fx_cudnn_cache *cache);

/* Private to the cuDNN door: the library for one device, and its plans. */

enum { FX_CUDNN_TEXT_BYTES = 192 };

struct fx_cudnn {
    cudnnHandle_t *handles; /* owned: one for each stream, which it enqueues on */
    int n_handles;          /* 0: a described device */
    cudaStream_t stream;    /* borrowed: that of the first handle */
    struct fx_descriptors description;
    cudnnBackendDescriptor_t device; /* in description */
    size_t workspace_limit;
    bool tunes; /* plans that are not in the cache are timed */
    struct fx_cudnn_cache cache;
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
