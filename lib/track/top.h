/* Runs as a text table (fusion-top(1)). */
#ifndef FX_TRACK_TOP_H
#define FX_TRACK_TOP_H

#include "track/runs.h"

#include <stdio.h>

/* By what the runs can be ordered: "state" is those that are running first, then by name. */
#define FX_TOP_KEYS "state|name|epoch|loss|fused|best|experts|ensemble|rate|eta|seen"

/* Which part of the table is shown, and how. */
struct fx_top_view {
    int n_columns, n_lines; /* of the screen; 0: no limit */
    bool colour;            /* escape sequences for states and titles */
    bool unicode;           /* the accuracy over epochs as block characters */
    const char *key;        /* borrowed: one of FX_TOP_KEYS; the best or soonest first */
    bool is_reversed;
    const char *filter; /* borrowed: runs whose names contain it, case ignored; "": all */
    size_t first;       /* in and out: the first run on the screen, as far down as there are any */
    size_t n_shown, n_matching; /* out: runs on the screen, runs that pass the filter */
};

/* fx_top_write: a title line and one line for each run.  On a narrow screen the least important
 * columns are left out, then names are cut.
 *   now  seconds since 1970 */
void fx_top_write(FILE *out, const struct fx_runs *runs, struct fx_top_view *view, double now);

/* fx_top_next_key: the one after it in FX_TOP_KEYS, after the last the first. */
const char *fx_top_next_key(const char *key);

/* fx_top_count: "9 runs: 1 running, 4 done, 1 stopped". */
void fx_top_count(FILE *out, const struct fx_runs *runs);

#endif
