/* Images of other classes: how well what the heads say tells them from those that the model knows.
 */
#ifndef FX_RUN_OUTSIDE_H
#define FX_RUN_OUTSIDE_H

#include "run/judgement.h"

/* fx_outside_event: evaluates the test images of the data set `path` and compares them with a
 * judgement of known ones: the event ood of fusion-metrics(5) as a line, owned by the caller.
 *   dataset  that of the judgement: its normalisation is the model's
 *   limit    at most that many images; 0: all */
enum fx_status fx_outside_event(struct fx_engine *engine, const struct fx_dataset *dataset,
                                const struct fx_judgement *inside, const char *path, int64_t limit,
                                char **line, struct fx_err *err) FX_MUST_CHECK;

#endif
