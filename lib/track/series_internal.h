/* The numbers of an event and the names under which trackers file them.
 *
 * Trackers group curves by what stands before the first slash: train/, val/, test/, step/, lr/,
 * speed/.  The same names go to Weights & Biases and to TensorBoard; metrics-wandb(1) lists them.
 */
#ifndef FX_TRACK_SERIES_INTERNAL_H
#define FX_TRACK_SERIES_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>

enum { FX_SERIES_NAME_BYTES = 128 };

/* Called with each number: value is an integer, a real, or null for one that is not finite. */
typedef bool (*fx_series_visit)(void *ctx, const char *name, const json_t *value);

/* fx_series_each: visits the numbers of an event of kind "step", "epoch", "eval" or "end" in the
 * order of its members; an array has one series for each expert.  Numbers that this version does
 * not know are called KIND/MEMBER.  Stops and returns false when visit does. */
bool fx_series_each(const json_t *event, const char *kind, fx_series_visit visit, void *ctx);

#endif
