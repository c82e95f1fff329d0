/* The temperatures of a model's heads, fitted on the validation images (score/temperature.h). */
#ifndef FX_RUN_FIT_TEMPERATURE_H
#define FX_RUN_FIT_TEMPERATURE_H

#include "run/judgement.h"

/* fx_fit_temperatures: evaluates the validation images and fits one temperature for each head,
 * indexed by fx_head_row; *n_fitted is their number.  FX_EUSAGE when the data set has none,
 * FX_EINPUT when logits are not finite, FX_ESTOPPED as fx_evaluate. */
enum fx_status fx_fit_temperatures(struct fx_engine *engine, const struct fx_dataset *dataset,
                                   double temperature[FX_HEADS_MAX], int64_t *n_fitted,
                                   struct fx_err *err) FX_MUST_CHECK;

#endif
