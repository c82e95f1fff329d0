/* The memory plan of a program: every value, gradient and scratch a buffer with a life span, all in
 * one arena.
 *
 * Each lane has its own clock, which counts its instructions: first those of the forward pass, then
 * those of the backward pass; the head (fusion module and global head) is the lane after the last
 * one.  A buffer used in both passes, or kept for the caller, has an offset of its own.  The others
 * share a region, in which buffers whose lives do not overlap lie on top of each other (first fit).
 */
#ifndef FX_BACKEND_LOWER_PLAN_H
#define FX_BACKEND_LOWER_PLAN_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct fx_buffer {
    size_t n_bytes;
    int lane;
    int first, last; /* instructions between which its content matters, inclusive */
    bool is_kept;    /* the whole program long */
    int n_refs; /* gradients: how many values still share it; used while instructions are written */
    size_t offset; /* once placed: in the arena, or in its lane's region */
};

struct fx_plan {
    struct fx_buffer *buffers; /* owned */
    int n_buffers, cap_buffers;
    size_t n_bytes; /* of the arena, once placed */
};

void fx_plan_fini(struct fx_plan *plan); /* accepts a zeroed plan */

/* fx_plan_add: a new buffer born at instruction `now` of its lane. */
enum fx_status fx_plan_add(struct fx_plan *plan, int lane, size_t n_bytes, int now, int *buffer,
                           struct fx_err *err) FX_MUST_CHECK;
/* fx_plan_touch: the content matters at instruction `now`. */
void fx_plan_touch(struct fx_plan *plan, int buffer, int now);

/* fx_plan_place: gives every buffer its offset in the arena.  A region for each worker, which its
 * lanes use one after the other: they do not run at the same time.
 *   n_forward  in  (n_lanes) instructions of each lane's forward pass
 *   worker     in  (n_lanes) who runs the lane; 0 .. n_workers-1 */
enum fx_status fx_plan_place(struct fx_plan *plan, int n_lanes, const int *n_forward,
                             const int *worker, int n_workers, struct fx_err *err) FX_MUST_CHECK;

/* fx_plan_place_lanes: a region for each lane, all alive at once, with everything that belongs to
 * the lane: first what stays, in the order of birth, then what passes.  Offsets count from the
 * region's start, and lanes with equal buffers have equal offsets.
 *   n_forward  in   (n_lanes) instructions of each lane's forward pass
 *   base       out  (n_lanes) where each region begins in the arena
 *   size       out  (n_lanes) its bytes; both are multiples of FX_PLAN_REGION_ALIGN */
enum { FX_PLAN_REGION_ALIGN = 256 }; /* bytes: what device memory is aligned to */
enum fx_status fx_plan_place_lanes(struct fx_plan *plan, int n_lanes, const int *n_forward,
                                   size_t *base, size_t *size, struct fx_err *err) FX_MUST_CHECK;

#endif
