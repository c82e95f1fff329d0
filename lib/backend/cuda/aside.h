/* Work aside: gradients of convolutions' weights run on a queue of their own, beside the steps that
 * follow.  Nothing in the backward pass waits for them but their order among themselves, the end of
 * the pass, and whoever writes where one of them still reads.
 *
 * The pieces of work aside of a pass are numbered from 1.  They run one after the other, so to wait
 * for one is to wait for all before it. */
#ifndef FX_BACKEND_CUDA_ASIDE_H
#define FX_BACKEND_CUDA_ASIDE_H

#include "backend/cuda/cuda_program.h"

/* A pass that is being launched. */
struct fx_aside {
    const struct fx_device *device; /* borrowed */
    bool is_used;                   /* else everything stays on the main stream */
    int n_launched;                 /* pieces of work aside */
    int n_joined;                   /* the main stream waits for so many of them */
};

/* fx_aside_queue: whose side streams and workspace a step uses. */
enum fx_cuda_queue fx_aside_queue(const struct fx_step *step);

/* fx_aside_find: fills `after` in the ops of a lane's steps, when the buffers have places. */
void fx_aside_find(const struct fx_lowered *lowered, int lane, struct fx_cuda_op *ops);

/* Around the launch of a step: run gets the step's queue and stream, which follow what the main
 * stream did so far and, if the step has to wait for it, what was done aside. */
enum fx_status fx_aside_begin(struct fx_aside *aside, struct fx_cuda_run *run,
                              const struct fx_step *step, const struct fx_cuda_op *op,
                              struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_aside_end(struct fx_aside *aside, struct fx_cuda_run *run,
                            struct fx_err *err) FX_MUST_CHECK;

/* fx_aside_join: the main stream waits for the first n pieces of work aside. */
enum fx_status fx_aside_join(struct fx_aside *aside, int n, struct fx_err *err) FX_MUST_CHECK;

#endif
