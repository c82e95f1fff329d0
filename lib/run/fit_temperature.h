/* The temperatures of a model's heads, fitted on the validation images (score/temperature.h). */
#ifndef FX_RUN_FIT_TEMPERATURE_H
#define FX_RUN_FIT_TEMPERATURE_H

#include "run/judgement.h"

/* fx_fit_temperatures: evaluates split.val and fits one temperature for each head, by fx_head_row,
 * on its n_fitted images.  FX_EUSAGE when there are none, FX_EINPUT when logits are not finite.
 */
enum fx_status fx_fit_temperatures(struct fx_engine *engine, const struct fx_dataset *dataset,
                                   double temperature[FX_HEADS_MAX], int64_t *n_fitted,
                                   struct fx_err *err) FX_MUST_CHECK;

#endif
