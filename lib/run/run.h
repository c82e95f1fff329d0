/* A training run from its plan to its last line: what fusion-train and expert-train share. */
#ifndef FX_RUN_RUN_H
#define FX_RUN_RUN_H

#include "run/plan.h"

/* fx_train: trains, or goes on training, until the run is finished; metrics on stdout, or where
 * the options say.  Returns FX_ESTOPPED with the state on the disk when a signal asked (after
 * fx_stop_catch), FX_EDIVERGED likewise. */
enum fx_status fx_train(const struct fx_run_plan *plan, const struct fx_run_options *options,
                        struct fx_err *err) FX_MUST_CHECK;

#endif
