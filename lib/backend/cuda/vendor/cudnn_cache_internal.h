/* Private to the cuDNN door: the plans of earlier runs, in one JSON file for all devices.
 *
 *     { "fusion-tools": "cudnn-plans", "version": 1,
 *       "devices": { DEVICE: { PLAN: { "engine": 62, "knobs": [[2, 0], [13, 1]] }, ... }, ... } }
 *
 * DEVICE names everything that decides which engines there are, PLAN the shape and the direction.
 * The file is a cache: it may be missing, damaged or not writable, and nothing fails for it. */
#ifndef FX_BACKEND_CUDA_VENDOR_CUDNN_CACHE_INTERNAL_H
#define FX_BACKEND_CUDA_VENDOR_CUDNN_CACHE_INTERNAL_H

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

#endif
