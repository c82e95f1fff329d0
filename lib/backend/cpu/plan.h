/* The memory plan of a program: every value, gradient and scratch a buffer with a life span, all in
 * one arena.
 *
 * Each lane has its own clock, which counts its steps: first those of the forward pass, then those
 * of the backward pass; the head (fusion module and global head) is the lane after the last one.  A
 * buffer used in both passes, or kept for the caller, has a place of its own.  The others share:
 * per worker one region, in which buffers whose lives do not overlap lie on top of each other
 * (first fit), and which the lanes of the worker use one after the other. */
#ifndef FX_BACKEND_CPU_PLAN_H
#define FX_BACKEND_CPU_PLAN_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct fx_buffer {
    size_t n_bytes;
    int lane;
    int first, last; /* steps between which its content matters, inclusive */
    bool is_kept;    /* the whole program long */
    int n_refs;      /* gradients: how many values still share it; used while steps are written */
    size_t offset;   /* in the arena, after fx_plan_place */
};

struct fx_plan {
    struct fx_buffer *buffers; /* owned */
    int n_buffers, cap_buffers;
    size_t n_bytes; /* of the arena, after fx_plan_place */
};

void fx_plan_fini(struct fx_plan *plan); /* accepts a zeroed plan */

/* fx_plan_add: a new buffer born at step `now` of its lane. */
enum fx_status fx_plan_add(struct fx_plan *plan, int lane, size_t n_bytes, int now, int *buffer,
                           struct fx_err *err) FX_MUST_CHECK;
/* fx_plan_touch: the content matters at step `now`. */
void fx_plan_touch(struct fx_plan *plan, int buffer, int now);

/* fx_plan_place: gives every buffer its offset.
 *   n_forward  in  (n_lanes) steps of each lane's forward pass
 *   worker     in  (n_lanes) who runs the lane; 0 .. n_workers-1 */
enum fx_status fx_plan_place(struct fx_plan *plan, int n_lanes, const int *n_forward,
                             const int *worker, int n_workers, struct fx_err *err) FX_MUST_CHECK;

#endif
