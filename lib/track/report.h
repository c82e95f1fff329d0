/* An HTML report about a directory of runs (runs-report(1)). */
#ifndef FX_TRACK_REPORT_H
#define FX_TRACK_REPORT_H

#include "track/runs.h"

#include <stdio.h>

/* fx_report_write: one self-contained HTML document without scripts or references to other files.
 * Text from the runs is escaped.  False when memory is short. */
bool fx_report_write(FILE *out, const char *title, const struct fx_runs *runs);

#endif
