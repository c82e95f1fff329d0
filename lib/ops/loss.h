/* The loss of a step and the gradients of all heads' logits.
 *
 *   loss = L(fused, kd) + alpha * sum_k (L(expert k, kd_experts) + distill * KL_k)
 *   L(z, w) = (1 - w) * CE(z) + w * T^2 * KL(softmax(m / T) || softmax(z / T))
 *
 * with m = stop_gradient(mean of the experts' logits), the ensemble as teacher (Hinton et al.,
 * 2015), and T = kd_temperature. CE is torch.nn.functional.cross_entropy with soft targets, a mean
 * over the batch; the target of image i is (1 - eps) * (lam * onehot(label_i) + (1 - lam) *
 * onehot(label_partner(i))) + eps / n_classes with eps the label smoothing and lam of cutmix or
 * mixup (Yun et al., ICCV 2019; Zhang et al., ICLR 2018).  KL_k = mean over j != k of
 * KL(stop_gradient(softmax_j) || softmax_k), mutual learning (Zhang et al., CVPR 2018).  A graph
 * without fused head has loss = sum_k (...), alpha ignored.  The losses below are CE and KL_k for
 * themselves, whatever their weights. */
#ifndef FX_OPS_LOSS_H
#define FX_OPS_LOSS_H

#include "net/graph.h"

struct fx_loss_config {
    float alpha;
    float label_smoothing; /* eps; 0 in evaluation */
    float distill;         /* 0: none */
    float kd, kd_experts;  /* part of a head's loss that is distillation from the ensemble */
    float kd_temperature;  /* read where one of them is not 0 */
};

/* Sums over the images since step_begin (divide by n_images).  Index 0..K-1: experts. */
struct fx_losses {
    int64_t n_images;
    double fused, expert[FX_GRAPH_MAX_EXPERTS]; /* sum over images of CE */
    double distill[FX_GRAPH_MAX_EXPERTS];       /* of KL_k */
    double total;                               /* of the whole loss */
    int64_t fused_correct, expert_correct[FX_GRAPH_MAX_EXPERTS], ensemble_correct;
    double correct; /* images right of the graph's head (fused, else expert 0): with cutmix or mixup
                       an image counts lam for its own label and 1 - lam for its partner's */
    double ensemble; /* CE of softmax(mean of the experts' logits) */
};

/* The class scores of one batch: f32 (n, n_classes), C order, borrowed.  The gradients have the
 * same shape and are written (=); all NULL in evaluation, and those of experts that do not train.
 */
struct fx_heads {
    int n, n_classes, n_experts;
    const float *fused; /* NULL: no fusion */
    const float *experts[FX_GRAPH_MAX_EXPERTS];
    float *d_fused;
    float *d_experts[FX_GRAPH_MAX_EXPERTS];
};

/* The targets of a batch; borrowed. */
struct fx_targets {
    const uint8_t *labels; /* (n) */
    const uint32_t
        *partner; /* (n) the image that each is mixed with; NULL: neither cutmix nor mixup */
    float lam;    /* with a partner: the part of the image's own label */
};

/* fx_loss_heads: adds the batch to *losses and writes d(mean loss)/d(logits) where the gradient is
 * not NULL.  Double arithmetic throughout; top-1 ties go to the lower class.
 */
void fx_loss_heads(const struct fx_heads *heads, const struct fx_targets *targets,
                   const struct fx_loss_config *config, struct fx_losses *losses);

#endif
