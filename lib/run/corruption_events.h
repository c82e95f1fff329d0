/* Robustness: the error of each head on corrupted test images. */
#ifndef FX_RUN_CORRUPTION_EVENTS_H
#define FX_RUN_CORRUPTION_EVENTS_H

#include "run/detail_events.h"

struct fx_corruption_facts {
    const char *path;     /* borrowed: corrupted images (data/corrupted.h) */
    const char *baseline; /* borrowed: metrics file of another model, with corruption events;
                             NULL: none */
    int64_t limit;        /* the first images of each severity; 0: all */
};

/* fx_corruption_events: evaluates every corruption at every severity and hands the corruption
 * events of fusion-metrics(5), then the robustness event, to sink.
 *   dataset  its mean and std normalise the images */
enum fx_status fx_corruption_events(struct fx_engine *engine, const struct fx_dataset *dataset,
                                    const struct fx_corruption_facts *facts, fx_line_sink sink,
                                    void *ctx, struct fx_err *err) FX_MUST_CHECK;

#endif
