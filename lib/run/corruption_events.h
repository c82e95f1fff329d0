/* Robustness: what corruptions of the test images cost each head. */
#ifndef FX_RUN_CORRUPTION_EVENTS_H
#define FX_RUN_CORRUPTION_EVENTS_H

#include "run/detail_events.h"

struct fx_corruption_facts {
    const char *path;     /* borrowed: corrupted images (data/corrupted.h) */
    const char *baseline; /* borrowed: metrics of another model with its corruption events; NULL:
                             none */
    int64_t limit;        /* the first images of each severity; 0: all */
};

/* fx_corruption_events: evaluates every corruption at every severity: the events corruption and
 * robustness of fusion-metrics(5), the latter at the end.
 *   dataset  its normalisation is the model's */
enum fx_status fx_corruption_events(struct fx_engine *engine, const struct fx_dataset *dataset,
                                    const struct fx_corruption_facts *facts, fx_line_sink sink,
                                    void *ctx, struct fx_err *err) FX_MUST_CHECK;

#endif
