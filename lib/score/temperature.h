/* Temperature scaling: one number that makes a head's probabilities honest and leaves its
 * predictions as they are. */
#ifndef FX_SCORE_TEMPERATURE_H
#define FX_SCORE_TEMPERATURE_H

#include <stdint.h>

/* The range of temperatures: where all labels are right no temperature is small enough. */
#define FX_TEMPERATURE_MIN 0.01
#define FX_TEMPERATURE_MAX 100.0

/* fx_temperature_fit: the temperature with the smallest mean loss of these images; logits
 * (n, classes), labels (n).  Source: Guo et al., "On Calibration of Modern Neural Networks" (2017),
 * section 4.2.  NaN when the logits are not finite. */
double fx_temperature_fit(const float *logits, const uint8_t *labels, int64_t n, int classes);

#endif
