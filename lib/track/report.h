/* A page about a directory of runs: what runs-report does. */
#ifndef FX_TRACK_REPORT_H
#define FX_TRACK_REPORT_H

#include "track/runs.h"

#include <stdio.h>

/* fx_report_write: one HTML document, complete in itself: no script, no other file, no address.
 * Text from the runs is escaped.  False when memory is short. */
bool fx_report_write(FILE *out, const char *title, const struct fx_runs *runs);

#endif
