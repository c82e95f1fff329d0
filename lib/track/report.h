/* A page about a directory of runs: what runs-report does. */
#ifndef FX_TRACK_REPORT_H
#define FX_TRACK_REPORT_H

#include "track/runs.h"

#include <stdio.h>

extern const char fx_report_style[]; /* the style sheet */

/* fx_report_write: one HTML document, complete in itself: no script, no other file, no address.
 * Text from the runs is escaped. */
void fx_report_write(FILE *out, const char *title, const struct fx_runs *runs);

/* Its section about one run: how it went, its curves, its configuration. */
void fx_report_run(FILE *out, const struct fx_run *run, size_t number);

/* Small parts of a page, shared by the tables and the sections. */
void fx_report_percent(FILE *out, double value, const char *class); /* a table cell; NaN: a dash */
void fx_report_state(FILE *out, const struct fx_run *run);
/* "resnet18 × multiplicative" */
void fx_report_what(FILE *out, const struct fx_run *run);

#endif
