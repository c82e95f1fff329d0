/* The passes of a step on the device.  The slots of backend.h only note what is wanted; when
 * somebody needs a result, all that is wanted is launched as one CUDA graph: a training step is one
 * launch, and so is a batch of an evaluation.
 *
 * A sequence of passes of a program is launched kernel by kernel the first time, recorded the
 * second time, and replayed from then on.  What changes from step to step travels in the mailbox
 * and is copied to the device before the graph, so the graph never changes. */
#ifndef FX_BACKEND_CUDA_PASSES_H
#define FX_BACKEND_CUDA_PASSES_H

#include "backend/cuda/cuda_program.h"

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

/* fx_passes_want: notes a pass of a program.  A pass that does not come after those that wait, or
 * is another program's, lets these be launched first. */
enum fx_status fx_passes_want(struct fx_program *program, unsigned pass,
                              struct fx_err *err) FX_MUST_CHECK;

/* fx_passes_launch: launches what waits; returns before it is done.  FX_ESTOPPED, nothing launched
 * and nothing left waiting, when the run is to stop. */
enum fx_status fx_passes_launch(struct fx_model *model, struct fx_err *err) FX_MUST_CHECK;

/* fx_passes_forget: what waits is not wanted any more. */
void fx_passes_forget(struct fx_model *model);

/* fx_passes_finish: launches, and waits until the device is done. */
enum fx_status fx_passes_finish(struct fx_model *model, struct fx_err *err) FX_MUST_CHECK;

/* fx_step_letters: those of the step whose update comes next. */
struct fx_step_letters *fx_step_letters(struct fx_model *model);

/* The passes of `passes` on the main stream, kernel by kernel (pass_launch.c). */
enum fx_status fx_passes_issue(const struct fx_program *program, unsigned passes,
                               struct fx_err *err) FX_MUST_CHECK;

#endif
