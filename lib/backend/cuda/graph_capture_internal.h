/* The launch queue of a model.  The calls of backend.h only record which passes of a step are asked
 * for; `update`, or whoever reads a value, launches them all at once: a training step is one
 * launch, and so is a batch of an evaluation.
 *
 * A sequence of passes of a program is launched kernel by kernel the first time, captured as a CUDA
 * graph the second time, and replayed from then on.  What changes from step to step is copied from
 * pinned staging buffers before the graph, so the graph never changes.  If a call cannot be
 * captured, a warning says so once, and everything is launched kernel by kernel. */
#ifndef FX_BACKEND_CUDA_GRAPH_CAPTURE_INTERNAL_H
#define FX_BACKEND_CUDA_GRAPH_CAPTURE_INTERNAL_H

#include "backend/cuda/cuda_internal.h"

/* In the order in which they run. */
enum {
    FX_PASS_ROWS = 1,   /* input from the resident images and the rows of the batch */
    FX_PASS_PIXELS = 2, /* input from finished pixels */
    FX_PASS_FORWARD = 4,
    FX_PASS_LOSS = 8,
    FX_PASS_BACKWARD = 16,   /* gradients = */
    FX_PASS_ACCUMULATE = 32, /* gradients += */
    FX_PASS_UPDATE = 64
};

/* fx_queue_add: records a pass of a program.  If it does not come after those that are queued, or
 * is another program's, those are launched first. */
enum fx_status fx_queue_add(struct fx_program *program, unsigned pass,
                            struct fx_err *err) FX_MUST_CHECK;

/* fx_queue_launch: launches what is queued; returns before it is done.  FX_ESTOPPED, nothing
 * launched and nothing left in the queue, when the run is to stop. */
enum fx_status fx_queue_launch(struct fx_model *model, struct fx_err *err) FX_MUST_CHECK;

/* fx_queue_clear: empties the queue without launching. */
void fx_queue_clear(struct fx_model *model);

/* fx_queue_finish: launches, and waits until the device is done. */
enum fx_status fx_queue_finish(struct fx_model *model, struct fx_err *err) FX_MUST_CHECK;

/* fx_next_step_staging: of the step whose update comes next. */
struct fx_step_staging *fx_next_step_staging(struct fx_model *model);

/* The passes of `passes` on the main stream, kernel by kernel (launch.c). */
enum fx_status fx_launch_passes(const struct fx_program *program, unsigned passes,
                                struct fx_err *err) FX_MUST_CHECK;

#endif
