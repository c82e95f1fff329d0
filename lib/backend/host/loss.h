/* The loss of a step and the gradients of all heads' logits, on the host. */
#ifndef FX_BACKEND_HOST_LOSS_H
#define FX_BACKEND_HOST_LOSS_H

#include "backend/backend.h"

/* The class scores of one batch: f32 (n, n_classes), C order, borrowed.  The gradients have the
 * same shape and are written (=); all NULL in evaluation. */
struct fx_heads {
    int n, n_classes, n_experts;
    const float *fused; /* NULL: no fusion */
    const float *experts[FX_GRAPH_MAX_EXPERTS];
    float *d_fused;
    float *d_experts[FX_GRAPH_MAX_EXPERTS];
};

/* fx_loss_heads: adds the batch to *losses (backend.h says what is summed) and writes the gradients
 * of (mean total loss) when heads->d_experts[0] is not NULL.  The ensemble's sums are computed in
 * training too.  Double arithmetic throughout; top-1 ties go to the lower class. */
void fx_loss_heads(const struct fx_heads *heads, const struct fx_batch *batch,
                   const struct fx_loss_config *config, struct fx_losses *losses);

#endif
