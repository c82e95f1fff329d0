/* The prediction of one head for one image, as the numbers that all statistics here use. */
#ifndef FX_SCORE_VERDICT_H
#define FX_SCORE_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

struct fx_verdict {
    int predicted; /* the class with the largest logit; of equal ones the first */
    int rank;      /* of the label among the classes, from 0: 0 is right, below 5 is top-5 right */
    double probability; /* of the predicted class */
    double loss;        /* -ln of the label's probability */
    double brier;       /* sum over classes of (probability - 1 of the label, 0 of others)^2: 0..2;
                           source: Brier, "Verification of forecasts expressed in terms of
                           probability" (1950), equation 2 */
    double energy;      /* -T ln sum exp(logit / T); source: Liu et al., "Energy-based
                           Out-of-distribution Detection" (2020), equation 4 */
};

/* fx_verdict_of: logits f32 (classes) of an image; label is below classes.  Probabilities are
 * softmax(logits / temperature) in double.  Source of the temperature: Guo et al., "On Calibration
 * of Modern Neural Networks" (2017), equation 9.  NaN among the logits gives a NaN loss. */
struct fx_verdict fx_verdict_of(const float *logits, int classes, int label, double temperature);

/* fx_divergence_add: the Jensen-Shannon divergence of K heads for an image, in nats: the entropy of
 * their mean probabilities minus the mean of their entropies, between 0 (all equal) and ln K.  Call
 * it with the logits of each head in turn and add up the K results; `sum` (classes) is zeroed
 * before the first call, is_last is set for the last.  Source: Lin, "Divergence Measures Based on
 * the Shannon Entropy" (1991), section 4; as the disagreement of an ensemble: Lakshminarayanan et
 * al., "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles" (2017),
 * section 3.5.
 */
double fx_divergence_add(double *sum, const float *logits, int classes, int n_heads, bool is_last);

#endif
