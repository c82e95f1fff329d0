/* Confusion matrices and predictions as CSV (fusion-eval(1)). */
#ifndef FX_RUN_VERDICT_FILES_H
#define FX_RUN_VERDICT_FILES_H

#include "base/io.h"
#include "run/judgement.h"

#include <jansson.h>

/* fx_confusion_write: one line for each head and class, with the count of each predicted class.
 *   names  of the classes; NULL: their numbers are written */
enum fx_status fx_confusion_write(const struct fx_judgement *judgement, const json_t *names,
                                  const struct fx_output *out, struct fx_err *err) FX_MUST_CHECK;

/* fx_predictions_write: one line for each image: number, label, and the predicted class of every
 * head with its probability. */
enum fx_status fx_predictions_write(const struct fx_judgement *judgement,
                                    const struct fx_output *out, struct fx_err *err) FX_MUST_CHECK;

#endif
