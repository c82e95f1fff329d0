/* What was chosen in earlier runs, in one JSON file for all devices,
 * ${FUSION_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/fusion-tools}/cudnn-plans.json:
 *
 *     { "fusion-tools": "cudnn-plans", "version": 1,
 *       "devices": { DEVICE: { PLAN: { "engine": 62, "knobs": [[2, 0], [13, 1]] },
 *                              LAYER: { "way": "parts" }, ... }, ... } }
 *
 * DEVICE names everything that decides which engines there are and how they are chosen, PLAN the
 * shape and the direction (vendor/cudnn_plan.c), LAYER a weight gradient (conv_weights.c).  The
 * file is a cache: it may be missing, damaged or not writable, and nothing fails for it. */
#ifndef FX_BACKEND_CUDA_PLAN_CACHE_H
#define FX_BACKEND_CUDA_PLAN_CACHE_H

#include <jansson.h>
#include <stdbool.h>

struct fx_plan_cache {
    char *path;    /* owned; NULL: there is no place for a cache */
    char *device;  /* owned */
    json_t *known; /* owned: plans of the device in the file */
    json_t *fresh; /* owned: plans that are to be added to it */
};

/* fx_plan_cache_open: reads what the file has for a device; a name, copied. */
void fx_plan_cache_open(struct fx_plan_cache *cache, const char *device);
void fx_plan_cache_close(struct fx_plan_cache *cache); /* accepts a zeroed record; saves nothing */

/* fx_plan_cache_find: the entry of a plan, borrowed; NULL: there is none. */
const json_t *fx_plan_cache_find(const struct fx_plan_cache *cache, const char *plan);
/* fx_plan_cache_complain: says that the entry is none. */
void fx_plan_cache_complain(const struct fx_plan_cache *cache, const char *plan);
/* fx_plan_cache_add: takes the entry. */
void fx_plan_cache_add(struct fx_plan_cache *cache, const char *plan, json_t *entry);

/* fx_plan_cache_save: adds the fresh plans to what the file holds by now; whoever reads it sees the
 * old or the new one.  Of two runs that save at the same moment one may be forgotten. */
void fx_plan_cache_save(struct fx_plan_cache *cache);

#endif
