/* Out-of-distribution detection: how well scores of the heads separate images of unknown classes
 * from those of known ones (fusion-eval --ood). */
#ifndef FX_RUN_OUTSIDE_H
#define FX_RUN_OUTSIDE_H

#include "run/judgement.h"

/* fx_outside_event: evaluates the test images of the data set `path`, compares them with the
 * judgement `inside`, and makes the ood event of fusion-metrics(5): one line, malloc'ed for the
 * caller.
 *   dataset  of `inside`; its mean and std normalise the images
 *   limit    the first images of `path`; 0: all
 * FX_EUSAGE when `path` is the same data set. */
enum fx_status fx_outside_event(struct fx_engine *engine, const struct fx_dataset *dataset,
                                const struct fx_judgement *inside, const char *path, int64_t limit,
                                char **line, struct fx_err *err) FX_MUST_CHECK;

#endif
