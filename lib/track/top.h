/* Runs as a table of text: what fusion-top shows. */
#ifndef FX_TRACK_TOP_H
#define FX_TRACK_TOP_H

#include "track/runs.h"

#include <stdio.h>

/* How the table is to look. */
struct fx_top_look {
    int n_columns, n_lines; /* of the screen; 0: no limit */
    bool colour;            /* escape sequences for states and titles */
    bool unicode;           /* the course of the accuracy in block characters */
};

/* fx_top_write: a line of titles and a line for each run, those that are running first, then by
 * name.  Where the screen is narrow the least columns and then the ends of names are left out,
 * where it is low the last runs, and a line says how many.
 *   now  seconds since 1970 */
void fx_top_write(FILE *out, const struct fx_runs *runs, const struct fx_top_look *look,
                  double now);

/* fx_top_count: "9 runs: 1 running, 4 done, 1 stopped". */
void fx_top_count(FILE *out, const struct fx_runs *runs);

#endif
