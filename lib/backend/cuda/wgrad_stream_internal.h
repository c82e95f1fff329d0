/* Gradients of convolutions' weights run on a second stream, beside the instructions that follow
 * them.  The critical path of a backward pass is the chain of data gradients and norms; nothing on
 * it reads a weight gradient, which only the update needs.  Norms are bound by memory and leave the
 * arithmetic units idle, which the weight gradients use meanwhile.
 *
 * What has to be kept is the order of a read and a later write: the operands of a weight gradient,
 * x and dy, may be overwritten (dy by an in-place norm) or their memory reused.  An instruction of
 * the main stream that writes where an earlier weight gradient may still read waits for its event.
 * So that this is rare, the memory plan keeps the operands alive until FX_LOWER_WGRAD_DELAY more
 * weight gradients are written.
 *
 * The weight gradients of a pass are numbered from 1.  They run one after the other, so to wait for
 * one is to wait for all before it. */
#ifndef FX_BACKEND_CUDA_WGRAD_STREAM_INTERNAL_H
#define FX_BACKEND_CUDA_WGRAD_STREAM_INTERNAL_H

#include "backend/cuda/cuda_internal.h"

/* A pass that is being launched. */
struct fx_wgrad_stream {
    const struct fx_device *device; /* borrowed */
    bool is_used;                   /* else everything stays on the main stream */
    int n_launched;                 /* weight gradients */
    int n_joined;                   /* the main stream waits for so many of them */
};

/* fx_wgrad_queue_of: whose side streams and workspace an instruction uses. */
enum fx_cuda_queue fx_wgrad_queue_of(const struct fx_instr *instr);

/* fx_wgrad_find_waits: fills `after` in the compiled instructions of a lane, when the buffers have
 * offsets. */
void fx_wgrad_find_waits(const struct fx_lowered *lowered, int lane, struct fx_compiled *compiled);

/* Around the launch of an instruction: exec gets the instruction's queue and stream, which follow
 * what the main stream did so far and, if the instruction has to wait for it, what the second
 * stream did. */
enum fx_status fx_wgrad_begin(struct fx_wgrad_stream *wgrad, struct fx_cuda_exec *exec,
                              const struct fx_instr *instr, const struct fx_compiled *compiled,
                              struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_wgrad_end(struct fx_wgrad_stream *wgrad, struct fx_cuda_exec *exec,
                            struct fx_err *err) FX_MUST_CHECK;

/* fx_wgrad_join: the main stream waits for the first n weight gradients. */
enum fx_status fx_wgrad_join(struct fx_wgrad_stream *wgrad, int n,
                             struct fx_err *err) FX_MUST_CHECK;

#endif
