/* The events of fusion-eval --details: one for each class, superclass and calibration bin. */
#ifndef FX_RUN_DETAIL_EVENTS_H
#define FX_RUN_DETAIL_EVENTS_H

#include "run/judgement.h"

#include <jansson.h>

struct fx_detail_facts {
    const char *split;                 /* borrowed: name of the subset */
    const struct fx_judgement *plain;  /* borrowed */
    const struct fx_judgement *scaled; /* borrowed; NULL: no temperature was fitted */
    const json_t *fine, *coarse;       /* borrowed: names (data/labels.h), or NULL */
    const uint8_t *superclass;         /* borrowed: of each class */
    int n_superclasses;                /* below 2: no events of them */
};

/* Takes a line over, ended by a newline and malloc'ed. */
typedef enum fx_status (*fx_line_sink)(void *ctx, char *line, struct fx_err *err);

/* fx_detail_events: hands the events class, superclass and bin of fusion-metrics(5) to sink, in
 * this order; classes and superclasses without images are left out. */
enum fx_status fx_detail_events(const struct fx_detail_facts *facts, fx_line_sink sink, void *ctx,
                                struct fx_err *err) FX_MUST_CHECK;

#endif
