/* Temperature scaling: one factor that calibrates the probabilities of a head without changing its
 * predictions. */
#ifndef FX_SCORE_TEMPERATURE_H
#define FX_SCORE_TEMPERATURE_H

#include <stdint.h>

/* The range of the search; with all predictions right the optimum would be 0. */
#define FX_TEMPERATURE_MIN 0.01
#define FX_TEMPERATURE_MAX 100.0

/* fx_temperature_fit: the temperature that minimises the mean cross-entropy; logits f32
 * (n, classes), labels u8 (n).  Source: Guo et al., "On Calibration of Modern Neural Networks"
 * (2017), section 4.2.  NaN when the logits are not finite. */
double fx_temperature_fit(const float *logits, const uint8_t *labels, int64_t n, int classes);

#endif
