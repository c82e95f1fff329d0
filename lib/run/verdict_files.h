/* Verdicts as CSV, for spreadsheets and notebooks (fusion-eval(1)). */
#ifndef FX_RUN_VERDICT_FILES_H
#define FX_RUN_VERDICT_FILES_H

#include "base/io.h"
#include "run/judgement.h"

#include <jansson.h>

/* fx_confusion_write: of every head a line for each class, how often each class was predicted.
 *   names  of the classes, or NULL: their numbers */
enum fx_status fx_confusion_write(const struct fx_judgement *judgement, const json_t *names,
                                  const struct fx_output *out, struct fx_err *err) FX_MUST_CHECK;

/* fx_predictions_write: a line for each image: its number, its label, and of every head the class
 * predicted and its probability. */
enum fx_status fx_predictions_write(const struct fx_judgement *judgement,
                                    const struct fx_output *out, struct fx_err *err) FX_MUST_CHECK;

#endif
